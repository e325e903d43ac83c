// One crash: a child process writes, is killed with SIGKILL at a random moment, and what it acknowledged is looked for.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { type Collection, Drift, type Finding } from '@drift/server'
import { toolsFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { type CrashVerdict, checkCrash, type LaneProgress } from './crash-check.js'
import { applyOperation, type LaneState, operation, type Workload } from './workload.js'

export interface CrashOptions {
  readonly folder: string
  readonly collection: string
  readonly workload: Workload
  /** Small, so that flushes happen. */
  readonly memtableRows: number
  /** Small, so that the log changes its file. */
  readonly walFileBytes: number
  /** How many search beside the writers. Default 0. */
  readonly searchers?: number
  /** Where the collection's exact vectors are. Default: the engine's. */
  readonly cold?: 'resident' | 'disk'
  /** Outside of `folder`; without it no backups are made beside the writers. */
  readonly backupFolder?: string
}

/** What the child is told. */
export interface CrashOrder extends CrashOptions {
  /** The first operation of each lane. */
  readonly next: readonly number[]
}

/** When to end it: after so many acknowledgements (0: from the start) and then so many milliseconds more. */
export interface Moment {
  readonly acknowledgements: number
  readonly delayMs: number
  /** By SIGTERM, at which it closes the database under its writers, instead of SIGKILL. */
  readonly isGentle?: boolean
}

export interface CrashRound extends CrashVerdict {
  /** Operations that were acknowledged in this round. */
  readonly acknowledged: number
  /** Rows that these operations wrote, replaced ones counted each time. */
  readonly acknowledgedRows: number
  /** Opening after the kill, recovery included. */
  readonly openMs: number
  /** Sampled rows that a search for their own vector did not find. */
  readonly unfound: number
  /** What `db.check()` finds fault with. */
  readonly findings: readonly Finding[]
}

/** Rows that are searched for after each crash: recovery has to put every row back into the bucket of its vector. */
const SEARCHED_ROWS = 200
const RECALL = 0.95
/** More than there are. */
const EVERY_BUCKET = 100_000

/** No acknowledgement for this long: the child hangs. */
const HANG_MS = 60_000

/** @param look - at the reopened collection, once it is compared. */
export async function crashRound(
  options: CrashOptions,
  lanes: readonly LaneProgress[],
  moment: Moment,
  look: (collection: Collection, verdict: CrashVerdict) => Promise<void> = async () => undefined,
): Promise<CrashRound> {
  const acknowledged = await writeUntilKilled({ ...options, next: lanes.map(lane => lane.next) }, moment)
  const { workload } = options
  const expected = afterAcknowledged(workload, lanes, acknowledged)
  let acknowledgedRows = 0
  for (const n of acknowledged) {
    const done = operation(workload, n)
    if (done.kind === 'upsert') acknowledgedRows += done.ids.length
  }

  const start = performance.now()
  const db = await Drift.open(options.folder, { walFileBytes: options.walFileBytes })
  try {
    const collection = await db.collection(options.collection, {
      dim: workload.dim,
      metric: 'l2',
      memtableRows: options.memtableRows,
      ...(options.cold && { cold: options.cold }),
    })
    const openMs = performance.now() - start
    const verdict = await checkCrash(collection, workload, expected)
    const unfound = await countUnfound(collection, verdict.lanes)
    await look(collection, verdict)
    const findings = (await db.check()).findings.filter(({ severity }) => severity !== 'info')
    return { ...verdict, acknowledged: acknowledged.size, acknowledgedRows, openMs, unfound, findings }
  } finally {
    await db.close()
  }
}

/** The lanes with what was acknowledged behind them. @throws when a lane acknowledged an operation and not the one before. */
export function afterAcknowledged(
  workload: Workload,
  lanes: readonly LaneProgress[],
  acknowledged: ReadonlySet<number>,
): LaneProgress[] {
  return lanes.map(({ state, next }, lane) => {
    let current: LaneState = state
    let n = next
    for (; acknowledged.has(n); n += workload.lanes) current = applyOperation(workload, current, n)
    if ([...acknowledged].some(other => other % workload.lanes === lane && other > n)) {
      throw new ToolError('CRASH_ORDER', `lane ${lane} acknowledged an operation after ${n}, but not ${n}`)
    }
    return { state: current, next: n }
  })
}

/**
 * @param traced - environment of a process that the shim ends when its standard input does (power-trace/shim.c).
 * @returns the numbers of the acknowledged operations.
 */
export async function writeUntilKilled(
  order: CrashOrder,
  moment: Moment,
  traced?: Readonly<Record<string, string>>,
): Promise<Set<number>> {
  const entry = join(toolsFolder, 'dist', 'torture', 'crash-child.js')
  const child = spawn(process.execPath, [entry, JSON.stringify(order)], {
    stdio: 'pipe',
    env: { ...process.env, ...traced },
  })
  const acknowledged = new Set<number>()
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    complaint += text
  })
  let reached: () => void = () => {}
  const enough = new Promise<void>(resolve => {
    reached = resolve
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', line => {
    acknowledged.add(Number(line))
    if (acknowledged.size >= moment.acknowledgements) reached()
  })
  if (moment.acknowledgements === 0) reached()

  // Both pipes are read to their end, so no acknowledgement that was printed is missed.
  const closed = once(child, 'close')
  try {
    await inTime(Promise.race([enough, closed]), () => complaint)
    await Promise.race([setTimeout(moment.delayMs), closed])
    if (child.exitCode !== null) {
      throw new ToolError(
        'CRASH_CHILD',
        `the writing process ended by itself (${child.exitCode})\n${complaint}`,
      )
    }
    if (moment.isGentle) await endGently(child, closed, () => complaint)
  } finally {
    kill(child, traced !== undefined)
    await closed
  }
  return acknowledged
}

async function endGently(
  child: ChildProcess,
  closed: Promise<unknown>,
  complaint: () => string,
): Promise<void> {
  child.kill('SIGTERM')
  await inTime(closed, complaint)
  // A signal that comes before anybody listens to it ends the process.
  if (child.exitCode !== 0 && child.signalCode !== 'SIGTERM')
    throw new ToolError(
      'CRASH_CHILD',
      `the writing process did not close (${child.exitCode})\n${complaint()}`,
    )
}

/** @throws ToolError CRASH_HANG. */
async function inTime<T>(awaited: Promise<T>, complaint: () => string): Promise<T> {
  const timer = new AbortController()
  const hang = setTimeout(HANG_MS, undefined, { signal: timer.signal }).then(() => {
    throw new ToolError('CRASH_HANG', `no progress in ${HANG_MS} ms\n${complaint()}`)
  })
  try {
    return await Promise.race([awaited, hang])
  } finally {
    hang.catch(() => undefined)
    timer.abort()
  }
}

function kill(child: ChildProcess, isTraced: boolean): void {
  if (child.exitCode !== null || child.signalCode !== null) return
  if (isTraced) child.stdin!.end()
  else child.kill('SIGKILL')
}

/**
 * Searches for rows by their own vector, evenly over what is there. What is asked for a recall of 0.95 may miss one row in twenty and three
 * standard errors of so many; what looks into every bucket, none.
 */
async function countUnfound(collection: Collection, lanes: readonly LaneProgress[]): Promise<number> {
  const ids = lanes.flatMap(lane => [...lane.state.keys()])
  const stride = Math.max(1, Math.floor(ids.length / SEARCHED_ROWS))
  let [searched, missed, unfound] = [0, 0, 0]
  for (let i = 0; i < ids.length; i += stride) {
    const vector = (await collection.get(ids[i]!))?.vector
    searched++
    if (await isFound(collection, vector, { recall: RECALL })) continue
    missed++
    if (!(await isFound(collection, vector, { probes: EVERY_BUCKET }))) unfound++
  }
  const most = (1 - RECALL) * searched + 3 * Math.sqrt(RECALL * (1 - RECALL) * searched)
  return missed > most ? missed : unfound
}

async function isFound(
  collection: Collection,
  vector: Float32Array | undefined,
  width: { readonly recall: number } | { readonly probes: number },
): Promise<boolean> {
  const [hit] = vector ? await collection.search(vector, { k: 1, ...width }) : []
  return hit?.distance === 0
}
