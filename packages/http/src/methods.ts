/**
 * Which methods a path takes: what tells 405 from 404. The router keeps a tree for each method and says only that there is nothing in
 * this one's. Asked of requests that have no route, so that it costs others nothing.
 */

/** Of a pattern; of others, such as those with `*`, is not told what they take. */
const PART = /^(:\w+|[\w.~-]*)$/

export class Methods {
  readonly #routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = []

  /** @param pattern - `/v1/collections/:name`. */
  add(methods: string | readonly string[], pattern: string): void {
    const parts = pattern.split('/')
    if (!parts.every(part => PART.test(part))) return
    const path = parts.map(part => (part.startsWith(':') ? '[^/]+' : part.replaceAll('.', '\\.'))).join('/')
    this.#routes.push({ path: new RegExp(`^${path}$`), methods: [methods].flat() })
  }

  /**
   * @param url - as it was sent, percent-encoded, with its query.
   * @returns sorted; empty for a path that is none.
   */
  of(url: string): string[] {
    const path = url.split('?', 1)[0]!
    return [...new Set(this.#routes.flatMap(route => (route.path.test(path) ? route.methods : [])))].sort()
  }
}
