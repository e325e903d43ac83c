// Single damages of a small database, and what comes of opening each: the state as it was, or the codes of the refusal. Every outcome of
// the sound engine has to be one of these; a mutant is noticed when one of its outcomes is another.
import { seededRandom } from '@drift/core'
import type { SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { contentOf, copyTree, put } from '../files.js'
import { framesOf, sealLog } from '../fuzz/seal.js'
import { targetsOf } from '../fuzz/targets.js'
import { readState } from '../power/model.js'
import { create, drawRows, removeIds, upkeep, upsert, wait } from '../power/steps.js'
import { FOLDER, type Modules, World } from '../power/world.js'

const FILES = {
  format: /^FORMAT$/,
  manifest: /^manifest-/,
  wal: /^wal-/,
  segment: /^seg-/,
  tombstones: /^del-/,
  index: /^idx-/,
} as const

export type FileKind = keyof typeof FILES
/** Fields of these files that lie, with every checksum made to agree: see fuzz/targets.ts. */
export type ForgedKind = 'forged log' | 'forged segment'

export const KINDS = Object.keys(FILES) as readonly FileKind[]

export interface Trial {
  readonly title: string
  readonly disk: SimFs
  /** Fields that lie under whole checksums. */
  readonly isLie?: boolean
}

/** Disks of two databases of the same shape, the first as it is found after a kill, after a close, and after a kill of the next handle. */
export interface Samples {
  readonly killed: SimFs
  readonly closed: SimFs
  readonly reopened: SimFs
  readonly other: SimFs
  readonly state: string
}

const PAGE = 4096
/** Of each kind of forged file. */
const LIES = 300
/** Fields of the log's headers, docs/FORMAT.md. */
const [FILE_NUMBER, FILE_NONCE, FILE_PREVIOUS_CHAIN, FILE_CRC] = [32, 40, 88, 4092]
const [FRAME_CHAIN, FRAME_BYTES] = [48, 56]
/** Where the fields of a frame's header lie, and bytes of its payload. */
const FRAME_OFFSETS = [0, 5, 8, 12, 16, 24, 28, 32, 40, 48, 52, 60, 100]

export async function makeSamples(modules: Modules): Promise<Samples> {
  const [first, second] = [await makeDatabase(modules, 1), await makeDatabase(modules, 2)]
  return { ...first, other: second.killed }
}

async function makeDatabase(modules: Modules, seed: number): Promise<Omit<Samples, 'other'>> {
  const world = new World(modules, {}, () => undefined)
  const random = seededRandom(seed)
  const docs = 'docs'
  const deleted = drawRows(random, 0, { rows: 6, firstId: 3 }).map(({ id }) => id)
  const steps = [
    create(docs, 200),
    upsert(docs, drawRows(random, 1, { rows: 40, firstId: 0 })),
    upkeep(docs, 'compact'),
    upsert(docs, drawRows(random, 2, { rows: 20, firstId: 100 })),
    upkeep(docs, 'flush'),
    removeIds(docs, deleted),
    upsert(docs, drawRows(random, 3, { rows: 5, firstId: 200 })),
    upkeep(docs, 'flush'),
    ...[4, 5, 6, 7].map(i => upsert(docs, drawRows(random, i, { rows: 3, firstId: 100 * i, text: 9_000 }))),
    // Time for the mark that tells of the last batch.
    wait(25),
  ]
  world.clock.install()
  try {
    await world.open()
    for (const step of steps) await step.run(world)
    const killed = world.disk.processKill()
    const state = await readState(world.db)
    await world.db.close()
    const closed = world.disk.processKill()
    await world.open()
    const reopened = world.disk.processKill()
    await world.db.close()
    return { killed, closed, reopened, state }
  } finally {
    world.clock.uninstall()
  }
}

/** Every damage of files of this kind that is tried; single bits last, because they are many. */
export function* trials(samples: Samples, kind: FileKind | ForgedKind): Generator<Trial> {
  if (kind.startsWith('forged ')) yield* lies(samples, kind.slice('forged '.length))
  else yield* damages(samples, kind as FileKind)
}

function* lies(samples: Samples, target: string): Generator<Trial> {
  if (target === 'log') yield* lyingOperations(samples)
  const draw = targetsOf(samples)[target]!
  for (let number = 0; number < LIES; number++) {
    const random = seededRandom(number)
    const { disk } = draw(below => Math.floor(random() * below))
    yield { title: `lie ${number} of the ${target}`, disk: disk!, isLie: true }
  }
}

/** In the first operation of each frame of the newest log file a payload ends behind it. */
function* lyingOperations({ killed }: Samples): Generator<Trial> {
  const name = killed.list(FOLDER).findLast(name => FILES.wal.test(name))!
  const whole = contentOf(killed, `${FOLDER}/${name}`)
  for (const { at, bytes } of framesOf(whole)) {
    const record = at + FRAME_BYTES + 8
    const view = new DataView(whole.buffer)
    const lie = (title: string, change: (view: DataView) => void): Trial => {
      const changed = whole.slice()
      change(new DataView(changed.buffer))
      sealLog(changed, whole)
      const disk = killed.processKill()
      put(disk, `${FOLDER}/${name}`, changed)
      return { title: `${name}: ${title} at ${at}`, disk, isLie: true }
    }
    if (bytes < 32 || whole[record] !== 1) continue
    const [rows, dim] = [view.getUint32(record + 8, true), view.getUint32(record + 12, true)]
    let lengths = record + 16 + rows * dim * 4
    for (let i = 0, ids = lengths; i < rows; i++) lengths += 2 + view.getUint16(ids + 2 * i, true)
    yield lie('a payload that is too long', changed => changed.setUint32(lengths, 0xff_ffff, true))
  }
}

function* damages(samples: Samples, kind: FileKind): Generator<Trial> {
  yield* trialsOf(samples, kind, false)
  yield* trialsOf(samples, kind, true)
}

function* trialsOf(samples: Samples, kind: FileKind, bits: boolean): Generator<Trial> {
  const sources = kind === 'wal' ? (['killed', 'closed', 'reopened'] as const) : (['killed'] as const)
  for (const source of sources) {
    const whole = samples[source].processKill()
    const names = whole.list(FOLDER).filter(name => FILES[kind].test(name))
    // With one manifest there is none to fall back to.
    if (kind === 'manifest') for (const name of names.slice(0, -1)) whole.remove(`${FOLDER}/${name}`)
    const tried = kind === 'manifest' || source === 'reopened' ? names.slice(-1) : names
    for (const [i, name] of tried.entries()) {
      const path = `${FOLDER}/${name}`
      const bytes = contentOf(whole, path)
      const trial = (title: string, content: Uint8Array | undefined): Trial => {
        const disk = whole.processKill()
        disk.remove(path)
        if (content) put(disk, path, content)
        return { title: `${source} ${name}: ${title}`, disk }
      }
      for (const at of bits ? flipsOf(kind, bytes.length) : []) {
        const flipped = bytes.slice()
        flipped[at]! ^= 1 << (at % 8)
        yield trial(`bit ${at % 8} of byte ${at} flipped`, flipped)
      }
      if (bits) continue
      for (const length of [0, 1, bytes.length >> 1, bytes.length - PAGE, bytes.length - 1])
        if (length >= 0 && length < bytes.length)
          yield trial(`cut to ${length} bytes`, bytes.slice(0, length))
      for (const more of [1, PAGE]) {
        const grown = new Uint8Array(bytes.length + more)
        grown.set(bytes)
        yield trial(`${more} bytes longer`, grown)
      }
      if (samples.other.stat(path)) yield trial('of another database', contentOf(samples.other, path))
      if (kind === 'manifest')
        yield trial(
          'with the content of the one before',
          contentOf(samples.killed, `${FOLDER}/${names.at(-2)}`),
        )
      if (kind === 'wal' && i > 0) yield* forgeries(bytes, trial)
      const next = tried[(i + 1) % tried.length]!
      if (next !== name) yield trial(`with the content of ${next}`, contentOf(whole, `${FOLDER}/${next}`))
      yield trial('missing', undefined)
      for (const [from, to] of [
        [1, 2],
        [2, 1],
        [3, 5],
      ] as const) {
        if ((Math.max(from, to) + 1) * PAGE > bytes.length) continue
        const misdirected = bytes.slice()
        misdirected.copyWithin(to * PAGE, from * PAGE, (from + 1) * PAGE)
        yield trial(`page ${from} written to ${to}`, misdirected)
        // Of the file that is written when a process is killed this would be many damages: acknowledged frames and the mark behind them.
        if (source === 'killed' && i === tried.length - 1) continue
        yield trial(`zeros from page ${from} on`, bytes.slice().fill(0, from * PAGE))
      }
    }
  }
}

/** What opening gives: `same`, codes from the error down to its cause, or what must never be. */
export async function outcomeOf(modules: Modules, disk: SimFs, state: string): Promise<string> {
  // A disk of the modules that open it, so that its errors are theirs.
  const own = new modules.fs.SimFs()
  copyTree(disk, own, '')
  try {
    const db = await modules.server.Drift.open(FOLDER, {
      fs: own,
      threads: 0,
      maintenance: 'off',
      shadow: false,
      minFreeBytes: 0,
    })
    try {
      const found = await readState(db)
      return found === state ? 'same' : 'ANOTHER STATE'
    } finally {
      await db.close()
    }
  } catch (error) {
    return codesOf(error)
  }
}

/** Whether a sound engine may answer so: a lie that makes sense is no damage. */
export function isSafe(outcome: string, isLie = false): boolean {
  return outcome === 'same' || outcome.startsWith('DRIFT_') || (isLie && outcome === 'ANOTHER STATE')
}

export function codesOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const { code, details } = error as Error & { code?: string; details?: { kind?: string } }
  const own = `${code ?? `UNCODED ${error.name}`}${details?.kind ? `/${details.kind}` : ''}`
  return error.cause ? `${own} < ${codesOf(error.cause)}` : own
}

/** Whole by every checksum, and not what belongs there: what remains of another course of events. */
function* forgeries(
  bytes: Uint8Array,
  trial: (title: string, content: Uint8Array) => Trial,
): Generator<Trial> {
  const header = bytes.slice()
  const view = new DataView(header.buffer)
  view.setUint32(FILE_PREVIOUS_CHAIN, view.getUint32(FILE_PREVIOUS_CHAIN, true) ^ 1, true)
  view.setUint32(FILE_CRC, kernels.crc32c(header.subarray(0, FILE_CRC)), true)
  yield trial('following another end', header)

  const frame = bytes.slice()
  const fields = new DataView(frame.buffer, PAGE, FRAME_BYTES)
  // The seed of its CRC: nonce, file number and offset.
  const seed = new DataView(new ArrayBuffer(24))
  seed.setBigUint64(0, view.getBigUint64(FILE_NONCE, true), true)
  seed.setBigUint64(8, view.getBigUint64(FILE_NUMBER, true), true)
  seed.setBigUint64(16, BigInt(PAGE), true)
  fields.setUint32(FRAME_CHAIN, fields.getUint32(FRAME_CHAIN, true) ^ 1, true)
  const covered = frame.subarray(PAGE + 4, PAGE + FRAME_BYTES)
  fields.setUint32(0, kernels.crc32c(covered, kernels.crc32c(new Uint8Array(seed.buffer))), true)
  yield trial('its first frame following another', frame)
}

function* flipsOf(kind: FileKind, length: number): Generator<number> {
  const seen = new Set<number>()
  const offsets: number[] = []
  if (kind === 'wal') {
    for (let at = 0; at < 96; at += 7) offsets.push(at)
    offsets.push(PAGE - 3)
    for (let page = PAGE; page < length; page += PAGE) for (const at of FRAME_OFFSETS) offsets.push(page + at)
  } else {
    for (let at = 0; at < 80; at += 3) offsets.push(at, length - 1 - at)
    // Most of an index file is which rows are searched first: of one bit in thirty it shows in what is found.
    const parts = kind === 'index' ? 400 : 40
    for (let i = 1; i < parts; i++) offsets.push(Math.floor((length * i) / parts))
  }
  for (const at of offsets) {
    if (at < 0 || at >= length || seen.has(at)) continue
    seen.add(at)
    yield at
  }
}
