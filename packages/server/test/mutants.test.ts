// Proves that the crash tests would notice: each sync and each order of the write path is taken away, one at a time, between the engine
// and a simulated disk, and a small workload under power cuts has to fail for every one of them. With nothing taken away it has to pass.
import { type DriftFs, FaultFs, SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { Drift } from '../src/index.js'

const OPTIONS = { walFileBytes: 64 * 1024, threads: 0, minFreeBytes: 0 } as const

type Skip = 'fsync' | 'fdatasync' | 'syncFolder' | 'lateSync'

interface Mutant {
  readonly title: string
  readonly skip: Skip
  /** Of the file, or of the last file that was renamed before a folder's sync. */
  readonly path: RegExp
}

const MUTANTS: readonly Mutant[] = [
  { title: 'frames of the log are not synced', skip: 'fdatasync', path: /wal-/ },
  { title: 'the zeros of a log file are not synced', skip: 'fsync', path: /tmp-wal-/ },
  { title: 'the name of a log file is not synced', skip: 'syncFolder', path: /wal-\d+\.drw$/ },
  { title: 'FORMAT is not synced', skip: 'fsync', path: /FORMAT/ },
  { title: 'a manifest is not synced', skip: 'fsync', path: /manifest-/ },
  { title: 'a manifest is synced after its rename', skip: 'lateSync', path: /manifest-/ },
  { title: 'a segment is not synced', skip: 'fsync', path: /seg-/ },
  // A segment may be synced after its rename: only the manifest makes its name count, and comes later.
  { title: 'tombstones are not synced', skip: 'fsync', path: /del-/ },
  { title: 'no folder is synced', skip: 'syncFolder', path: /./ },
]

it('passes with nothing taken away', async () => {
  expect(await failures(undefined)).toEqual([])
})

it.each(MUTANTS)('notices when $title', async mutant => {
  expect((await failures(mutant)).length).toBeGreaterThan(0)
})

/** Between the engine and the disk: leaves out what the mutant says. */
class MutantFs extends FaultFs {
  readonly #disk: SimFs
  readonly #mutant: Mutant | undefined
  readonly #paths = new Map<number, string>()
  #renamed = ''

  constructor(disk: SimFs, mutant: Mutant | undefined) {
    super(disk, [])
    this.#disk = disk
    this.#mutant = mutant
  }

  override open(...args: Parameters<DriftFs['open']>): number {
    const fd = super.open(...args)
    this.#paths.set(fd, args[0])
    return fd
  }

  override fsync(fd: number): void {
    if (!this.#skips('fsync', fd) && !this.#skips('lateSync', fd)) super.fsync(fd)
  }

  override fdatasync(fd: number): void {
    if (!this.#skips('fdatasync', fd)) super.fdatasync(fd)
  }

  override rename(from: string, to: string): void {
    super.rename(from, to)
    this.#renamed = to
    if (this.#mutant?.skip !== 'lateSync' || !this.#mutant.path.test(to)) return
    // The other order: the name is on disk before the bytes are.
    this.#disk.syncFolder(to.slice(0, to.lastIndexOf('/')))
    const fd = this.#disk.open(to, 'read')
    this.#disk.fsync(fd)
    this.#disk.close(fd)
  }

  override syncFolder(path: string): void {
    const { skip, path: pattern } = this.#mutant ?? {}
    if (skip === 'syncFolder' && pattern!.test(this.#renamed)) return
    super.syncFolder(path)
  }

  #skips(skip: Skip, fd: number): boolean {
    return this.#mutant?.skip === skip && this.#mutant.path.test(this.#paths.get(fd) ?? '')
  }
}

/** Cuts the power before every operation of the workload. @returns what is wrong with the disks that are left. */
async function failures(mutant: Mutant | undefined): Promise<string[]> {
  const wrong: string[] = []
  let acknowledged = 0
  let begun = 0
  let images: { disk: SimFs; at: string; acknowledged: number; begun: number }[] = []
  const disk: SimFs = new SimFs({
    before(_operation, _path, count) {
      for (const cut of [
        { data: 'none', entries: 'none' },
        { data: 'none', entries: 'all' },
        { data: 'random', entries: 'random', seed: count },
      ] as const)
        images.push({ disk: disk.powerCut(cut), at: `${count} ${JSON.stringify(cut)}`, acknowledged, begun })
    },
  })
  const check = async (): Promise<void> => {
    for (const image of images) {
      if (mutant && wrong.length > 0) return // killed
      const state = await stateOf(image.disk).catch(error => (error as Error).message)
      const possible = STATES.slice(image.acknowledged, image.begun + 1)
      if (!possible.includes(state)) wrong.push(`${image.at}: ${state}`)
    }
    images = []
  }
  const db = await Drift.open('/db', { ...OPTIONS, fs: new MutantFs(disk, mutant) })
  for (const step of STEPS) {
    begun++
    await step(db)
    acknowledged++
    await check()
    if (mutant && wrong.length > 0) break
  }
  images = []
  await db.close()
  return wrong
}

const STEPS: readonly ((db: Drift) => Promise<unknown>)[] = [
  db => db.collection('docs', { dim: 4, metric: 'l2', memtableRows: 8 }),
  ...[0, 1, 2].map(i => upsert(i)),
  async db => (await db.collection('docs')).flush(),
  ...[3, 4].map(i => upsert(i)),
  async db => (await db.collection('docs')).delete(['0.0', '4.1']),
  async db => (await db.collection('docs')).flush(),
  ...Array.from({ length: 8 }, (_, i) => upsert(5 + i)),
  async db => (await db.collection('docs')).flush(),
  upsert(13),
]

/** The state after each number of steps, as `stateOf` tells it. */
const STATES: readonly string[] = (() => {
  const ids = new Set<string>()
  const states = ['[]']
  const add = (n: number): void => {
    for (const i of [0, 1, 2]) ids.add(`${n}.${i}`)
  }
  const changes: (() => void)[] = [
    () => undefined,
    ...[0, 1, 2].map(n => () => add(n)),
    () => undefined,
    ...[3, 4].map(n => () => add(n)),
    () => ['0.0', '4.1'].forEach(id => void ids.delete(id)),
    () => undefined,
    ...Array.from({ length: 8 }, (_, i) => () => add(5 + i)),
    () => undefined,
    () => add(13),
  ]
  for (const change of changes) {
    change()
    states.push(JSON.stringify([...ids].sort()))
  }
  return states
})()

/** 6 KiB of payload, so that the workload goes through several log files. */
function upsert(n: number): (db: Drift) => Promise<unknown> {
  const rows = [0, 1, 2].map(i => ({
    id: `${n}.${i}`,
    vector: [n, i, 1, 2],
    payload: { text: `${n}`.repeat(2_000) },
  }))
  return async db => (await db.collection('docs')).upsert(rows)
}

async function stateOf(disk: SimFs): Promise<string> {
  const db = await Drift.open('/db', { ...OPTIONS, fs: disk })
  try {
    const ids: string[] = []
    for (const name of db.collections())
      for await (const { id, payload } of (await db.collection(name)).scan()) {
        const n = String(id).split('.')[0]!
        ids.push(payload?.['text'] === n.repeat(2_000) ? String(id) : `${id} with a wrong payload`)
      }
    return JSON.stringify(ids.sort())
  } finally {
    await db.close()
  }
}
