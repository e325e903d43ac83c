// One power loss of the real process, and many more from the same run: a child writes under the shim and is killed; whatever stable storage
// may hold at some moment before is opened and compared with what had been printed by then.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SimFs } from '@drift/fs'
import { Drift } from '@drift/server'
import { toolsFolder } from '../../data/place.js'
import { ToolError } from '../../data/tool-error.js'
import { checkCrash, type LaneProgress } from '../crash-check.js'
import { afterAcknowledged, type CrashOptions, type Moment, writeUntilKilled } from '../crash-round.js'
import { cutDisk } from '../power/cut.js'
import { differences, writeFolder } from './folder-copy.js'
import { Replay, readTrace, type TraceRecord } from './trace.js'

/** Where the database lies on the traced disk. */
const DATABASE = '/db'

/** Why a process cannot be traced here, or undefined. */
export function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'the shim is written for Linux'
  const { status } = spawnSync(compiler, ['--version'], { stdio: 'ignore' })
  return status === 0 ? undefined : `no C compiler: ${compiler} does not run`
}

const compiler = process.env['CC'] || 'cc'

/** @returns the library to preload. */
export function buildShim(folder: string): string {
  const source = join(toolsFolder, 'torture', 'power-trace', 'shim.c')
  const library = join(folder, 'shim.so')
  const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC']
  const { status, stderr } = spawnSync(compiler, [...flags, '-o', library, source, '-ldl', '-lpthread'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new ToolError('SHIM', `${compiler} does not build the shim\n${stderr}`)
  return library
}

/** What a run of the process left: everything it did from a disk on. */
export interface Run {
  readonly base: SimFs
  /** What the base holds. */
  readonly lanes: readonly LaneProgress[]
  readonly folder: string
  readonly records: readonly TraceRecord[]
  readonly options: CrashOptions
}

/** @param folder - for the process' disk and its trace; absolute, without symbolic links. */
export async function traceRun(
  options: Omit<CrashOptions, 'folder'>,
  { folder, shim, base, lanes, moment }: Omit<Run, 'records' | 'options'> & { shim: string; moment: Moment },
): Promise<Run> {
  const [disk, file] = [join(folder, 'disk'), join(folder, 'trace')]
  mkdirSync(folder, { recursive: true })
  writeFolder(base, disk)
  rmSync(file, { force: true })
  writeFileSync(file, '')
  const order = { ...options, folder: join(disk, DATABASE) }
  const printed = await writeUntilKilled({ ...order, next: lanes.map(({ next }) => next) }, moment, {
    LD_PRELOAD: shim,
    DRIFT_TRACE_FOLDER: disk,
    DRIFT_TRACE_FILE: file,
  })
  const run = { base, lanes, folder: disk, records: readTrace(file), options: order }
  const end = replay(run, run.records.length)
  // A call that the shim did not see would make every image of this run wrong.
  const wrong = differences(end.disk, disk)
  const unseen = [...printed].filter(n => !end.printed.has(n))
  if (wrong.length + unseen.length > 0)
    throw new ToolError('TRACE', `the trace misses something: ${[...wrong, ...unseen].join(', ')}`)
  return run
}

/** Everything up to a record. */
function replay(
  run: Run,
  cut: number,
  unsynced?: (path: string) => boolean,
): { disk: SimFs; printed: Set<number> } {
  const { base, folder, records } = run
  const replayed = new Replay({ base, folder, ...(unsynced && { unsynced }) })
  for (const record of records.slice(0, cut)) replayed.apply(record)
  return { disk: replayed.disk, printed: new Set(replayed.printed.split('\n').filter(Boolean).map(Number)) }
}

export interface Loss {
  /** Records before the power fails. */
  readonly cut: number
  /** Which of the unsynced changes survive, see cut.ts; 0: none. */
  readonly variant: number
  readonly seed: number
  readonly unsynced?: (path: string) => boolean
}

export interface LossVerdict {
  /** What was found, to go on from; undefined when it does not open. */
  readonly found: { readonly base: SimFs; readonly lanes: readonly LaneProgress[] } | undefined
  readonly acknowledged: number
  /** What is wrong, in words; empty when nothing is. */
  readonly wrong: string
}

export async function losePower(run: Run, { cut, variant, seed, unsynced }: Loss): Promise<LossVerdict> {
  const { options, lanes } = run
  const { disk, printed } = replay(run, cut, unsynced)
  const expected = afterAcknowledged(options.workload, lanes, printed)
  const base = cutDisk(disk, variant, seed)
  const acknowledged = printed.size
  try {
    const db = await Drift.open(DATABASE, {
      fs: base.processKill(),
      walFileBytes: options.walFileBytes,
      threads: 0,
      maintenance: 'off',
      shadow: false,
      minFreeBytes: 0,
    })
    try {
      const rows = await db.collection(options.collection, {
        dim: options.workload.dim,
        metric: 'l2',
        memtableRows: options.memtableRows,
      })
      const { lost, strange, ...verdict } = await checkCrash(rows, options.workload, expected)
      const wrong = lost + strange > 0 ? `${lost} rows lost, ${strange} strange` : ''
      return { found: { base, lanes: verdict.lanes }, acknowledged, wrong }
    } finally {
      await db.close()
    }
  } catch (error) {
    return { found: undefined, acknowledged, wrong: `does not open: ${(error as Error).message}` }
  }
}
