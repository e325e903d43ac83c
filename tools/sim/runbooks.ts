// The ten synthetic runbooks, each in three sizes. Shapes follow the streaming track of big-ann-benchmarks (clustered, sliding
// window, expiration, replace) and what hurts a partition: moving topics, random death, dying topics, hot spots, duplicates.
import { seededRandom } from '@drift/core'
import { ToolError } from '../data/tool-error.js'
import { firstAbove } from '../data/topics.js'
import { Population } from './population.js'
import type { Runbook, Size, Step } from './runbook.js'
import { makeWorld, topicsOf, WORLD_DIM, type WorldName } from './world.js'

/** Of a runbook at the size that is run. */
interface Scale {
  /** Rows alive at the most. */
  readonly rows: number
  /** Rounds of writes. */
  readonly steps: number
  readonly queries: number
  /** Every so many rounds is searched. */
  readonly every: number
}

interface Play {
  readonly about: string
  readonly sizes: Readonly<Record<Size, Scale>>
  /** Inserts in all, as a multiple of the rows alive. */
  readonly turnover: number
  readonly topics?: (world: WorldName, scale: Scale) => number
  steps(people: Population, scale: Scale): Generator<Step>
}

const scale = (rows: number, steps: number, every: number, queries: number): Scale => ({
  rows,
  steps,
  every,
  queries,
})

/** Share of the queries that ask for topics which have died or never were. */
const LOST_QUERIES = 0.1

const plays: Readonly<Record<string, Play>> = {
  R1: {
    about: '64 clusters come in five rounds of uneven shares; of each, 50-90 % die before the next round',
    sizes: {
      small: scale(5_000, 40, 10, 120),
      '100k': scale(70_000, 320, 32, 200),
      '1m': scale(1_000_000, 320, 32, 200),
    },
    turnover: 3.75,
    topics: () => 64,
    *steps(people, { rows, steps, every, queries }) {
      const rounds = 5
      const slots = Math.max(1, Math.round(steps / rounds))
      let done = 0
      for (let round = 0; round < rounds; round++) {
        for (const clusters of dealt(people, slots)) {
          yield people.insert(Math.round((0.75 * rows) / slots), () => anyOf(people, clusters))
          if (++done % every === 0) yield people.search(queries, `round ${round + 1}: in`)
        }
        for (let topic = 0; topic < people.topics.count; topic++) {
          const mine = (other: number) => other === topic
          const share = 0.5 + 0.4 * people.random()
          yield people.delete(people.some(Math.round(share * people.countIn(mine)), mine))
        }
        yield people.search(queries, `round ${round + 1}: out`)
      }
    },
  },
  R2: {
    about: 'old topics expire while new ones come (half of the rows in 25 steps), then a random half dies',
    sizes: {
      small: scale(6_000, 10, 2, 150),
      '100k': scale(67_000, 25, 2, 250),
      '1m': scale(670_000, 50, 5, 250),
    },
    turnover: 1.5,
    *steps(people, { rows, steps, every, queries }) {
      const { count } = people.topics
      const isNew = (topic: number) => topic % 3 === 2
      const draw = (wanted: boolean) => chosen(people, topic => isNew(topic) === wanted)
      yield people.insert(rows, () => draw(false))
      yield people.search(queries, 'before')
      const moved = Math.round((0.5 * rows) / steps)
      for (let step = 1; step <= steps; step++) {
        yield people.insert(moved, () => draw(true))
        yield people.delete(people.some(moved, topic => !isNew(topic)))
        const lost = () => Math.floor(people.random() * count)
        if (step % every === 0)
          yield people.search(queries, `drift ${step}`, living =>
            people.random() < LOST_QUERIES ? lost() : living(),
          )
      }
      yield people.delete(people.some(Math.round(people.alive.size / 2)))
      yield people.search(queries, '-50 %')
    },
  },
  R3: {
    about: 'a window slides over topics that rise and fall: every row is replaced by the end',
    sizes: {
      small: scale(5_000, 16, 3, 150),
      '100k': scale(100_000, 100, 10, 250),
      '1m': scale(1_000_000, 200, 20, 250),
    },
    turnover: 2,
    *steps(people, { rows, steps, every, queries }) {
      const perStep = Math.round((2 * rows) / steps)
      for (let step = 0; step < steps; step++) {
        yield people.insert(perStep, () => inSeason(people, step / steps))
        if (people.alive.size > rows) yield people.deleteOldest(people.alive.size - rows)
        const past = 2 * (step + 1) >= steps
        if ((step + 1) % every === 0) yield people.search(queries, `${past ? 'slide' : 'fill'} ${step + 1}`)
      }
    },
  },
  R4: {
    about: 'rows of three lives: 1 in 19 stays, 3 live for half of the run, 15 for a tenth of it',
    sizes: {
      small: scale(2_500, 20, 4, 120),
      '100k': scale(30_000, 100, 10, 250),
      '1m': scale(300_000, 100, 10, 250),
    },
    turnover: 5,
    *steps(people, { rows, steps, every, queries }) {
      const perStep = Math.round((5 * rows) / steps)
      const ends: number[][] = Array.from({ length: steps + 1 }, () => [])
      for (let step = 0; step < steps; step++) {
        const born = people.insert(perStep, () => inSeason(people, step / steps)) as Step & { do: 'insert' }
        yield born
        for (const id of born.ids) {
          const life = people.random() * 19
          const end = life < 1 ? steps + 1 : step + (life < 4 ? steps / 2 : steps / 10)
          ends[Math.round(end)]?.push(id)
        }
        if (ends[step]!.length > 0) yield people.delete(Uint32Array.from(ends[step]!))
        if ((step + 1) % every === 0) yield people.search(queries, `step ${step + 1}`)
      }
    },
  },
  R5: {
    about: 'half of the rows die at random, in ten steps',
    sizes: {
      small: scale(6_000, 10, 3, 150),
      '100k': scale(100_000, 10, 1, 250),
      '1m': scale(1_000_000, 10, 1, 250),
    },
    turnover: 1,
    *steps(people, { rows, steps, every, queries }) {
      yield people.insert(rows, () => people.topics.pick(people.random))
      yield people.search(queries, 'before')
      for (let step = 1; step <= steps; step++) {
        yield people.delete(people.some(Math.round((0.5 * rows) / steps)))
        if (step % every === 0 || step === steps)
          yield people.search(queries, `-${Math.round((50 * step) / steps)} %`)
      }
    },
  },
  R6: {
    about:
      'zombies: half of the topics lose 97 % of their rows in ten steps, and a tenth of the queries still ask for them',
    sizes: {
      small: scale(6_000, 10, 2, 150),
      '100k': scale(100_000, 10, 1, 250),
      '1m': scale(1_000_000, 10, 1, 250),
    },
    turnover: 1,
    *steps(people, { rows, steps, every, queries }) {
      const dying = (topic: number) => topic % 2 === 1
      yield people.insert(rows, () => people.topics.pick(people.random))
      yield people.search(queries, 'before')
      const kill = Math.round((0.97 * people.countIn(dying)) / steps)
      for (let step = 1; step <= steps; step++) {
        yield people.delete(people.some(kill, dying))
        if (step % every > 0 && step < steps) continue
        yield people.search(queries, `-${Math.round((97 * step) / steps)} %`, living =>
          people.random() < LOST_QUERIES ? chosen(people, dying) : living(),
        )
      }
    },
  },
  R7: {
    about:
      'hot spots: 60 % of the writes and 80 % of the queries go to 5 % of the topics, which change every ten steps',
    sizes: {
      small: scale(5_000, 20, 4, 150),
      '100k': scale(100_000, 50, 5, 250),
      '1m': scale(1_000_000, 50, 5, 250),
    },
    turnover: 2,
    *steps(people, { rows, steps, every, queries }) {
      const { count } = people.topics
      const hotTopics = Math.max(1, Math.round(0.05 * count))
      const period = Math.max(2, Math.round(steps / 5))
      yield people.insert(rows, () => people.topics.pick(people.random))
      yield people.search(queries, 'before')
      for (let step = 0; step < steps; step++) {
        const first = Math.floor(step / period) * hotTopics
        const hot = () => (first + Math.floor(people.random() * hotTopics)) % count
        const perStep = Math.round(rows / steps)
        yield people.insert(perStep, () =>
          people.random() < 0.6 ? hot() : people.topics.pick(people.random),
        )
        yield people.delete(people.some(perStep))
        if ((step + 1) % every > 0) continue
        yield people.search(queries, `hot set ${Math.floor(step / period) + 1}`, living =>
          people.random() < 0.8 ? hot() : living(),
        )
      }
    },
  },
  R8: {
    about: 'churn: a fifth of the rows die and as many fresh ones of the same topics come, over and over',
    sizes: {
      small: scale(4_000, 10, 3, 150),
      '100k': scale(30_000, 40, 8, 250),
      '1m': scale(1_000_000, 20, 4, 250),
    },
    turnover: 9,
    *steps(people, { rows, steps, every, queries }) {
      yield people.insert(rows, () => people.topics.pick(people.random))
      yield people.search(queries, 'before')
      for (let step = 1; step <= steps; step++) {
        yield people.delete(people.some(Math.round(0.2 * rows)))
        yield people.insert(Math.round(0.2 * rows), () => people.topics.pick(people.random))
        if (step % every === 0) yield people.search(queries, `cycle ${step}`)
      }
    },
  },
  R9: {
    about: 'replace: rows keep their ids and move to other topics, all of them once',
    sizes: {
      small: scale(5_000, 10, 3, 150),
      '100k': scale(50_000, 20, 4, 250),
      '1m': scale(400_000, 20, 4, 250),
    },
    turnover: 2,
    *steps(people, { rows, steps, every, queries }) {
      const target = (topic: number) => topic % 2 === 1
      yield people.insert(rows, () => chosen(people, topic => !target(topic)))
      yield people.search(queries, 'before')
      for (let step = 1; step <= steps; step++) {
        const ids = people.some(Math.ceil(rows / steps), topic => !target(topic))
        if (ids.length > 0) yield people.replace(ids, () => chosen(people, target))
        if (step % every === 0 || step === steps)
          yield people.search(queries, `replaced ${Math.round((100 * step) / steps)} %`)
      }
    },
  },
  R10: {
    about:
      'adversarial: a third identical rows, a giant topic, everything deleted, refilled by rows of growing length',
    sizes: {
      small: scale(3_000, 6, 1, 100),
      '100k': scale(60_000, 6, 1, 250),
      '1m': scale(600_000, 6, 1, 250),
    },
    turnover: 3,
    *steps(people, { rows, steps, queries }) {
      const anywhere = () => people.topics.pick(people.random)
      const plain = people.insert(Math.round(0.7 * rows), anywhere) as Step & { do: 'insert' }
      yield plain
      const { dim } = people.topics
      const twins = people.insert(Math.round(0.3 * rows), () => 0) as Step & { do: 'insert' }
      for (let i = 0; i < twins.ids.length; i++) twins.vectors.set(plain.vectors.subarray(0, dim), i * dim)
      yield twins
      yield people.search(queries, '30 % identical')
      yield people.insert(Math.round(0.5 * rows), () => 0)
      yield people.search(queries, 'one giant topic')
      yield people.deleteOldest(people.alive.size)
      yield people.search(queries, 'empty')
      for (let step = 1; step <= steps; step++) {
        const grown = people.insert(Math.round((0.7 * rows) / steps), anywhere) as Step & { do: 'insert' }
        for (let i = 0; i < grown.vectors.length; i++) grown.vectors[i]! *= step
        yield grown
        yield people.search(queries, `length x${step}`)
      }
    },
  },
}

export const runbookNames: readonly string[] = Object.keys(plays)

/** @throws ToolError RUNBOOK for a name that is not R1..R10. */
export function runbook(name: string, size: Size, world: WorldName, seed: number): Runbook {
  const play = Object.hasOwn(plays, name) ? plays[name]! : undefined
  if (!play) throw new ToolError('RUNBOOK', `${name}: there are ${runbookNames.join(', ')}`)
  const measure = play.sizes[size]
  const topics = play.topics?.(world, measure) ?? topicsOf(world, measure.rows)
  const steps = () => {
    // A stream of its own for each runbook, the same world for all of a seed.
    const random = seededRandom(seed * 1000 + runbookNames.indexOf(name))
    return play.steps(new Population(makeWorld(world, topics, seed), random), measure)
  }
  return {
    name: world === 'mix' ? name : `${name}-${world}`,
    about: play.about,
    dim: WORLD_DIM,
    metric: 'l2',
    searches: Math.ceil(measure.steps / measure.every) + 1,
    liveRows: measure.rows,
    insertedRows: Math.ceil(play.turnover * measure.rows) + 1,
    steps,
  }
}

/** A topic by its share among those that pass. */
function chosen(people: Population, passes: (topic: number) => boolean): number {
  for (;;) {
    const topic = people.topics.pick(people.random)
    if (passes(topic)) return topic
  }
}

/** Topics have their season, a fifth of the run long; some of every time are out of season. */
function inSeason(people: Population, time: number): number {
  const { count } = people.topics
  return chosen(people, topic => {
    // Seasons are dealt by a stride, so that large and small topics take turns.
    const peak = ((topic * 7919) % count) / count
    const distance = Math.abs(peak - time)
    return people.random() < 0.02 + Math.exp(-0.5 * (distance / 0.12) ** 2)
  })
}

/** The clusters shuffled and dealt over the slots of a round, shares uneven: a few large, many small. */
function dealt(people: Population, slots: number): number[][] {
  const order = Array.from({ length: people.topics.count }, (_, topic) => topic)
  for (let i = order.length - 1; i > 0; i--) {
    const at = Math.floor(people.random() * (i + 1))
    const topic = order[i]!
    order[i] = order[at]!
    order[at] = topic
  }
  return Array.from({ length: slots }, (_, slot) => order.filter((_, i) => i % slots === slot))
}

/** One of the clusters, the first ones far more often: a Dirichlet draw of (100, 15, 10, 5, 3) is about that uneven. */
function anyOf(people: Population, clusters: readonly number[]): number {
  const weights = clusters.map((_, i) => 1 / (i + 1) ** 1.5)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  const running = weights.map((weight, i) => {
    sum += weight / total
    return i === weights.length - 1 ? 1 : sum
  })
  return clusters[firstAbove(running, people.random())]!
}
