// The steps that workloads are made of. Each is drawn from the workload's random numbers when it is made, and changes the model as it
// changes the database.
import type { Payload } from '@drift/server'
import { cutDisk } from './cut.js'
import {
  DIM,
  GROUP,
  GROUPS,
  idText,
  type ModelRow,
  payloadIn,
  rowText,
  type State,
  vectorIn,
} from './model.js'
import { FOLDER, type World } from './world.js'

export interface Step {
  readonly title: string
  readonly run: (world: World) => Promise<void>
}

export type Random = () => number

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}

const IDS = 20

function idOf(n: number): string | number {
  return n % 3 === 0 ? n : `row ${n}`
}

export interface RowShape {
  readonly rows: number
  /** First of the ids; random ones among IDS when not given. */
  readonly firstId?: number
  /** Characters of text in each payload. */
  readonly text?: number
}

/** Rows with and without a payload; of two with the same id the later counts. */
export function drawRows(random: Random, version: number, shape: RowShape): ModelRow[] {
  return Array.from({ length: shape.rows }, (_, i) => {
    const id = idOf(shape.firstId === undefined ? below(random, IDS) : shape.firstId + i)
    const vector = Float32Array.from({ length: DIM }, () => random() * 2 - 1)
    if (random() < 0.3 && !shape.text) return { id, vector }
    const text = shape.text ? { text: `${version}`.padEnd(shape.text, 'x') } : {}
    return { id, vector, payload: { [GROUP]: below(random, GROUPS), version, ...text } }
  })
}

function put(name: string, rows: readonly ModelRow[]): (state: State) => void {
  return state => {
    for (const row of rows) state.get(name)!.set(idText(row.id), rowText(row))
  }
}

function take(name: string, ids: readonly (string | number)[]): (state: State) => void {
  return state => {
    for (const id of ids) state.get(name)!.delete(idText(id))
  }
}

export function create(name: string, memtableRows: number): Step {
  return {
    title: `create ${name}`,
    run: world =>
      world.write(
        state => void (state.has(name) || state.set(name, new Map())),
        () => world.db.collection(name, { dim: DIM, metric: 'l2', memtableRows }),
      ),
  }
}

export function drop(name: string): Step {
  return {
    title: `drop ${name}`,
    run: world =>
      world.write(
        state => state.delete(name),
        () => world.db.drop(name),
      ),
  }
}

export function upsert(name: string, rows: readonly ModelRow[]): Step {
  return {
    title: `upsert ${rows.length} rows`,
    run: async world => {
      const collection = await world.db.collection(name)
      await world.write(put(name, rows), () => collection.upsert(rows))
    },
  }
}

export function remove(name: string, random: Random): Step {
  const ids = Array.from({ length: 1 + below(random, 4) }, () => idOf(below(random, IDS)))
  return removeIds(name, ids)
}

export function removeIds(name: string, ids: readonly (string | number)[]): Step {
  return {
    title: `delete ${ids}`,
    run: async world => {
      const collection = await world.db.collection(name)
      await world.write(take(name, ids), () => collection.delete(ids))
    },
  }
}

export function removeGroup(name: string, random: Random): Step {
  const group = below(random, GROUPS)
  return {
    title: `delete group ${group}`,
    run: async world => {
      const collection = await world.db.collection(name)
      await world.write(
        state => {
          for (const [id, row] of state.get(name)!)
            if (payloadIn(row)?.[GROUP] === group) state.get(name)!.delete(id)
        },
        () => collection.delete({ filter: { [GROUP]: group } }),
      )
    },
  }
}

/** By ids or by filter; a key goes, one comes or changes. */
export function update(name: string, random: Random, version: number): Step {
  const ids = Array.from({ length: 1 + below(random, 4) }, () => idOf(below(random, IDS)))
  const group = random() < 0.5 ? below(random, GROUPS) : undefined
  const patch = {
    version: null,
    updated: version,
    ...(random() < 0.5 ? { [GROUP]: below(random, GROUPS) } : {}),
  }
  return {
    title: `update ${group === undefined ? ids : `group ${group}`}`,
    run: async world => {
      const collection = await world.db.collection(name)
      const named = new Set(ids.map(idText))
      await world.write(
        state => {
          const rows = state.get(name)!
          for (const [id, row] of rows) {
            const payload = payloadIn(row) ?? {}
            if (group === undefined ? !named.has(id) : payload[GROUP] !== group) continue
            const { version: _, ...kept } = { ...payload, ...patch }
            rows.set(id, rowText({ vector: vectorIn(row), payload: kept as Payload }))
          }
        },
        () => collection.updatePayload(group === undefined ? ids : { filter: { [GROUP]: group } }, patch),
      )
    },
  }
}

/** Several writes that do not wait for each other: they travel in one frame or a few, and are there one after the other. */
export function group(name: string, random: Random, version: number): Step {
  const writes = Array.from({ length: 2 + below(random, 5) }, (_, i) =>
    random() < 0.75
      ? drawRows(random, version + i / 10, { rows: 1 + below(random, 4) })
      : Array.from({ length: 2 }, () => idOf(below(random, IDS))),
  )
  return {
    title: `${writes.length} writes at once`,
    run: async world => {
      const collection = await world.db.collection(name)
      await Promise.all(
        writes.map(write => {
          const isDelete = typeof write[0] !== 'object'
          return isDelete
            ? world.write(take(name, write as string[]), () => collection.delete(write as string[]))
            : world.write(put(name, write as ModelRow[]), () => collection.upsert(write as ModelRow[]))
        }),
      )
    },
  }
}

/** Of a collection; nothing that a user sees changes. */
export function upkeep(
  name: string,
  title: 'flush' | 'compact' | 'maintain' | 'createIndex' | 'dropIndex',
): Step {
  return {
    title: `${title} ${name}`,
    run: async world => {
      const collection = await world.db.collection(name)
      if (title === 'flush') await collection.flush()
      else if (title === 'compact') await collection.compact()
      else if (title === 'maintain') await collection.maintain()
      else {
        const { indexes } = await collection.stats()
        const isThere = indexes[GROUP] !== undefined
        if (title === 'createIndex' && !isThere) await collection.createIndex(GROUP, 'number')
        if (title === 'dropIndex' && isThere) await collection.dropIndex(GROUP)
      }
    },
  }
}

export function reopen(): Step {
  return { title: 'reopen', run: world => world.reopen() }
}

/** The database goes on from what a power cut of this moment leaves. */
export function crash(random: Random): Step {
  const variant = below(random, 5)
  const seed = below(random, 1 << 30)
  return {
    title: 'crash',
    run: async world => {
      const { db } = world
      world.disk = cutDisk(world.disk, variant, seed, world.watch())
      await world.open()
      await db.close()
    },
  }
}

/** Time in which a mark is written, or an interval ends. */
export function wait(ms: number, syncs: boolean = false): Step {
  return {
    title: `wait ${ms} ms`,
    run: async world => {
      await world.clock.pass(ms)
      if (syncs) world.synced()
    },
  }
}

export function sync(): Step {
  return {
    title: 'sync',
    run: async world => {
      await world.db.sync()
      world.synced()
    },
  }
}

/** While `beside` runs. */
export function backup(number: number, beside: Step): Step {
  return {
    title: `backup while ${beside.title}`,
    run: async world => {
      const backup = {
        folder: `/backup-${number}`,
        from: world.window.written,
        to: undefined as number | undefined,
      }
      world.backups.push(backup)
      const done = world.db.backup(backup.folder)
      await beside.run(world)
      await done
      backup.to = world.window.begun
    },
  }
}

/** The first file of this kind that the manifest does not need is gone. */
export function forget(pattern: RegExp): Step {
  return {
    title: `forget ${pattern}`,
    run: async world => {
      await world.db.close()
      world.synced()
      world.quietly(() => {
        for (const name of world.disk.list(FOLDER))
          if (pattern.test(name)) world.disk.remove(`${FOLDER}/${name}`)
        world.disk.syncFolder(FOLDER)
      })
      await world.open()
    },
  }
}
