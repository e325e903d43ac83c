// What may happen to a database, as commands that fast-check strings together and shrinks. Each is a kind and a seed, so that leaving one
// out changes no other. The model is the World's: rows by id, and brute force over them.
import { seededRandom } from '@drift/core'
import type { SimFs } from '@drift/fs'
import fc from 'fast-check'
import { cutDisk } from '../power/cut.js'
import { DIM, GROUP, GROUPS, idText, payloadIn, readState, rowText, vectorIn } from '../power/model.js'
import {
  backup,
  below,
  create,
  drawRows,
  group,
  type Random,
  remove,
  removeGroup,
  reopen,
  type Step,
  update,
  upkeep,
  upsert,
} from '../power/steps.js'
import { FOLDER, type World } from '../power/world.js'

const DOCS = 'docs'
/** The smallest there is: flushes happen by themselves. */
const MEMTABLE_ROWS = 200
const FEW = 1e-4

const WRITES: Readonly<Record<string, (random: Random, seed: number) => Step>> = {
  upsert: (random, seed) => upsert(DOCS, drawRows(random, seed, { rows: 1 + below(random, 8) })),
  // Enough that segments and buckets come to be.
  load: (random, seed) => upsert(DOCS, drawRows(random, seed, { rows: 60, firstId: 100 * below(random, 4) })),
  delete: random => remove(DOCS, random),
  deleteByFilter: random => removeGroup(DOCS, random),
  updatePayload: (random, seed) => update(DOCS, random, seed),
  writesAtOnce: (random, seed) => group(DOCS, random, seed),
}

const UPKEEP: Readonly<Record<string, (random: Random, seed: number) => Step>> = {
  flush: () => upkeep(DOCS, 'flush'),
  compact: () => upkeep(DOCS, 'compact'),
  maintain: () => upkeep(DOCS, 'maintain'),
  createIndex: () => upkeep(DOCS, 'createIndex'),
  dropIndex: () => upkeep(DOCS, 'dropIndex'),
}

const OTHERS: Readonly<Record<string, (random: Random, seed: number) => Step>> = {
  reopen: () => reopen(),
  crash: (random, seed) => crashDuring(undefined, random, seed),
  crashDuringWrite: (random, seed) => crashDuring(pick(WRITES, random, seed), random, seed),
  crashDuringUpkeep: (random, seed) => crashDuring(pick(UPKEEP, random, seed), random, seed),
  backup: (random, seed) => restorable(seed, pick(WRITES, random, seed)),
  get: random => get(random),
  scan: () => scan(),
  search: random => search(random),
}

const ALL = { ...WRITES, ...UPKEEP, ...OTHERS }
export type Kind = string
export const KINDS: readonly Kind[] = Object.keys(ALL)

class Command implements fc.AsyncCommand<object, World> {
  readonly #step: Step
  readonly #kind: Kind

  constructor(kind: Kind, seed: number) {
    this.#kind = kind
    this.#step = ALL[kind]!(seededRandom(seed), seed)
  }

  check(): boolean {
    return true
  }

  async run(_: object, world: World): Promise<void> {
    await this.#step.run(world)
  }

  toString(): string {
    return `${this.#kind} (${this.#step.title})`
  }
}

export function histories(steps: number): fc.Arbitrary<Iterable<fc.AsyncCommand<object, World>>> {
  const command = fc
    .record({ kind: fc.constantFrom(...KINDS), seed: fc.nat() })
    .map(({ kind, seed }) => new Command(kind, seed))
  return fc.commands([command], { maxCommands: steps, size: 'max' })
}

/** Opens, runs, and at the end everything is looked at once more. The clock stands still meanwhile. */
export async function runHistory(
  world: World,
  commands: Iterable<fc.AsyncCommand<object, World>>,
): Promise<void> {
  world.clock.install()
  try {
    await world.open()
    await create(DOCS, MEMTABLE_ROWS).run(world)
    await fc.asyncModelRun(() => ({ model: {}, real: world }), commands)
    await expectState(world, [world.states.at(-1)!])
    await world.db.close()
  } finally {
    world.clock.uninstall()
  }
}

function pick(from: typeof WRITES, random: Random, seed: number): Step {
  const kinds = Object.values(from)
  return kinds[below(random, kinds.length)]!(random, seed)
}

/** The power fails before one of the operations on the disk; without a step it fails now. What is left is gone on from. */
function crashDuring(step: Step | undefined, random: Random, seed: number): Step {
  const at = 1 + below(random, 30)
  const variant = below(random, 16)
  return {
    title: step ? `the power fails before operation ${at} of ${step.title}` : 'the power fails',
    async run(world) {
      let found: { disk: SimFs; first: number; last: number } | undefined
      const cut = (): void => {
        const { durable, begun } = world.window
        found ??= { disk: cutDisk(world.disk, variant, seed), first: durable, last: begun }
      }
      let operations = 0
      world.onOperation = () => {
        if (++operations === at) cut()
      }
      await step?.run(world)
      world.onOperation = () => {}
      cut()
      const { db } = world
      const { disk, first, last } = found!
      world.disk = disk.processKill(world.watch())
      await world.open()
      await db.close()
      world.goOnFrom(await expectState(world, world.states.slice(first, last + 1)))
    },
  }
}

/** A backup beside a write opens with the state before or after it. */
function restorable(number: number, beside: Step): Step {
  const made = backup(number, beside)
  return {
    title: made.title,
    async run(world) {
      await made.run(world)
      const { folder, from, to } = world.backups.at(-1)!
      const db = await world.openCopy(world.disk.processKill(), {}, folder)
      try {
        expectOneOf(await readState(db), world.states.slice(from, to! + 1))
      } finally {
        await db.close()
      }
      // A copy of a copy of a copy is no other case.
      for (const name of world.disk.list(folder)) world.disk.remove(`${folder}/${name}`)
      world.disk.remove(folder)
    },
  }
}

function scan(): Step {
  return {
    title: 'scan, count, search of everything',
    run: world => expectState(world, [world.states.at(-1)!]).then(() => {}),
  }
}

function get(random: Random): Step {
  const n = below(random, 20)
  const id = n % 3 === 0 ? n : `row ${n}`
  return {
    title: `get ${id}`,
    async run({ db, state }) {
      const found = await (await db.collection(DOCS)).get(id)
      const text = found && rowText(found.payload ? { vector: found.vector, payload: found.payload } : found)
      const wanted = state.get(DOCS)!.get(idText(id))
      if (text !== wanted) throw new Error(`get ${id}: ${text}, expected ${wanted}`)
    },
  }
}

/** Exactly, with a filter or without: the distances are those of brute force, and each hit has the one of its row. */
function search(random: Random): Step {
  const query = Float32Array.from({ length: DIM }, () => random() * 2 - 1)
  const k = 1 + below(random, 12)
  const wantedGroup = random() < 0.5 ? below(random, GROUPS) : undefined
  return {
    title: `the ${k} nearest${wantedGroup === undefined ? '' : ` of group ${wantedGroup}`}`,
    async run({ db, state }) {
      const filter = wantedGroup === undefined ? {} : { filter: { [GROUP]: wantedGroup } }
      const hits = await (await db.collection(DOCS)).search(query, { k, recall: 1, ...filter })
      const distances = new Map<string, number>()
      for (const [id, row] of state.get(DOCS)!) {
        if (wantedGroup !== undefined && payloadIn(row)?.[GROUP] !== wantedGroup) continue
        distances.set(
          id,
          vectorIn(row).reduce((sum, x, i) => sum + (x - query[i]!) ** 2, 0),
        )
      }
      const best = [...distances.values()].sort((a, b) => a - b).slice(0, k)
      const isRight =
        hits.length === best.length &&
        hits.every(
          ({ id, distance }, i) =>
            Math.abs(distance - best[i]!) < FEW &&
            Math.abs(distance - (distances.get(idText(id)) ?? Number.POSITIVE_INFINITY)) < FEW,
        )
      if (!isRight)
        throw new Error(
          `found ${hits.map(({ id, distance }) => `${id} at ${distance}`)}, expected distances ${best}`,
        )
    },
  }
}

async function expectState({ db }: World, allowed: readonly string[]): Promise<string> {
  const found = await readState(db)
  expectOneOf(found, allowed)
  return found
}

function expectOneOf(found: string, allowed: readonly string[]): void {
  if (allowed.includes(found)) return
  throw new Error(`${FOLDER} holds\n${found}\nand may hold\n${allowed.join('\nor\n')}`)
}
