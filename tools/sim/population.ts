// The rows that are alive while a runbook is written: who they are, which topic they belong to, how old they are.
// Rule: it hands out steps, and remembers only what later steps need, never a vector.
import type { Topics } from '../data/topics.js'
import type { Step } from './runbook.js'

export class Population {
  readonly topics: Topics
  readonly random: () => number
  /** Id to topic, oldest first. */
  readonly alive = new Map<number, number>()
  #nextId = 0

  constructor(topics: Topics, random: () => number) {
    this.topics = topics
    this.random = random
  }

  insert(count: number, topic: () => number): Step {
    const ids = new Uint32Array(count)
    const chosen = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      ids[i] = this.#nextId++
      chosen[i] = topic()
      this.alive.set(ids[i]!, chosen[i]!)
    }
    return { do: 'insert', ids, vectors: this.#draw(chosen) }
  }

  /** The rows stay who they are and move to other topics. */
  replace(ids: Uint32Array, topic: () => number): Step {
    const chosen = ids.map(() => topic())
    for (let i = 0; i < ids.length; i++) this.alive.set(ids[i]!, chosen[i]!)
    return { do: 'replace', ids, vectors: this.#draw(chosen) }
  }

  deleteOldest(count: number): Step {
    const ids = new Uint32Array(Math.min(count, this.alive.size))
    const oldest = this.alive.keys()
    for (let i = 0; i < ids.length; i++) ids[i] = oldest.next().value!
    return this.delete(ids)
  }

  delete(ids: Uint32Array): Step {
    for (const id of ids) this.alive.delete(id)
    return { do: 'delete', ids }
  }

  /** Some of the living, each once. @param among - which of them may be chosen, by topic. */
  some(count: number, among: (topic: number) => boolean = () => true): Uint32Array {
    const ids: number[] = []
    for (const [id, topic] of this.alive) if (among(topic)) ids.push(id)
    const chosen = Math.min(count, ids.length)
    for (let i = 0; i < chosen; i++) {
      const at = i + Math.floor(this.random() * (ids.length - i))
      const id = ids[at]!
      ids[at] = ids[i]!
      ids[i] = id
    }
    return Uint32Array.from(ids.slice(0, chosen))
  }

  countIn(among: (topic: number) => boolean): number {
    let count = 0
    for (const topic of this.alive.values()) if (among(topic)) count++
    return count
  }

  /** Queries from the topics of the living, each topic as often as it has rows, unless `topic` says otherwise. */
  search(count: number, phase: string, topic: (living: () => number) => number = living => living()): Step {
    const living = Uint32Array.from(this.alive.values())
    const ofLiving = () =>
      living.length > 0 ? living[Math.floor(this.random() * living.length)]! : this.topics.pick(this.random)
    const chosen = Uint32Array.from({ length: count }, () => topic(ofLiving))
    return { do: 'search', queries: this.#draw(chosen), phase }
  }

  #draw(topics: Uint32Array): Float32Array {
    const { dim } = this.topics
    const vectors = new Float32Array(topics.length * dim)
    for (let i = 0; i < topics.length; i++) {
      this.topics.draw(topics[i]!, this.random, vectors.subarray(i * dim, (i + 1) * dim))
    }
    return vectors
  }
}
