/**
 * What a generator holds while it is paused. Left in the middle without `return`, it never comes to its `finally`: then it is let go when
 * nobody can take from the generator any more.
 */
export interface Held {
  /** May be called again. */
  release?: () => void
}

const leftOpen = new FinalizationRegistry<Held>(held => held.release?.())

/** @param make - makes the generator, which says in `held` what it holds. */
export function holding<G extends object>(make: (held: Held) => G): G {
  const held: Held = {}
  const generator = make(held)
  leftOpen.register(generator, held)
  return generator
}
