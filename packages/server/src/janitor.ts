/**
 * Background work: frozen generations become segments and the log is cut; when nothing of that is to do, buckets are refined and
 * waiting rows linked into their graphs. One thing at a time, in slices that yield to the caller's event loop; but while the rows of one
 * generation go to their buckets, the files of the next are written, and index files and compactions are beside both.
 */
import { HIGH_WATER_BYTES } from '@drift/core'
import { orAborted } from './abort.js'
import { writeCheckpointIfDue, writePartition } from './checkpoint.js'
import { compactOnce } from './compaction.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import { commitFiles, cutLog, discardFiles, type FlushedFiles, moveToBuckets, writeFiles } from './flush.js'
import { Healing } from './healing.js'
import type { Course } from './pace.js'
import type { Generation, Store } from './store.js'

/** Frozen generations of a collection that may wait before writers have to. */
const MAX_FROZEN = 2
/** Generations that a call of `flush` finds, with the one that it freezes; more are of rows that came later. */
const MOST_FOUND = MAX_FROZEN + 1
/** Log size that makes the janitor flush the generation that holds it back. */
const WAL_BUDGET_BYTES = 256 * 1024 * 1024
/** A graph-linking slice: short enough that a search behind it does not notice, with what else has a slice of the same turn. */
const LINK_SLICE_MS = 0.3
/** Rows that searches look at one by one, from which on they are brought to buckets: fewer are not worth a job. */
const TAIL_ROWS = 1_024
/** After so long of saving up, healing that was too dear is looked at again: rest pays for it, and nobody need write. */
const SAVING_MS = 100
/** After somebody had to wait for room, idle work waits so long: rows come faster than they go. */
const FLOODED_MS = 250
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

export class Janitor {
  readonly healing: Healing = new Healing()
  #engine: Engine | undefined
  /** Of idle work. */
  #course: Course | undefined
  #running: Promise<void> | undefined
  #stopped = false
  #error: Error | undefined
  /** Flushes begun so far, and what that number was when the one began that `#error` is of. */
  #begun = 0
  #failed = 0
  #retryMs = FIRST_RETRY_MS
  #retryTimer: NodeJS.Timeout | undefined
  #idleWork: NodeJS.Immediate | undefined
  #idleTimer: NodeJS.Timeout | undefined
  /** When somebody last waited for a flush to end. */
  #floodedMs = Number.NEGATIVE_INFINITY
  #tendingError: Error | undefined
  #tending: Promise<void> = Promise.resolve()
  /** Collections whose turn to be tended is yet to come. */
  readonly #toTend: Set<Store> = new Set()
  /** Calls of `flush` that index files and compactions wait for. */
  readonly #flushers: Set<Flusher> = new Set()
  /** Collections of which rows are on their way to buckets ahead of their flush. */
  readonly #placing: Map<Store, Promise<void>> = new Map()
  /** The rows of a committed generation are on their way. */
  #isMoving = false
  #ahead: Ahead | undefined
  readonly #ending = new AbortController()
  readonly #waiters: (() => void)[] = []

  start(engine: Engine): void {
    this.#engine = engine
    this.#course = engine.pace.course()
    this.wake()
  }

  /** The last flush failed with this and will be tried again. */
  get error(): Error | undefined {
    return this.#error
  }

  get begun(): number {
    return this.#begun
  }

  /** As `error`, if that flush was not among the first `begun`: an older one says nothing of the room there is now. */
  errorSince(begun: number): Error | undefined {
    return this.#failed > begun ? this.#error : undefined
  }

  /** The last index file, compaction or piece of refining failed with this; it is tried again after the next flush. */
  get tendingError(): Error | undefined {
    return this.#tendingError
  }

  /** There may be something to do. */
  wake(): void {
    if (this.#isMoving) this.#writeAhead()
    if (this.#stopped || this.#running || this.#retryTimer || !this.#engine) return
    this.#start(this.#flushAll())
  }

  /** What failed and waits to be tried again is tried now. */
  retry(): void {
    clearTimeout(this.#retryTimer)
    this.#retryTimer = undefined
    this.#retryMs = FIRST_RETRY_MS
    this.wake()
  }

  /** Resolves after the next flush has ended, well or not; one that waits to be tried again is tried now. */
  turn(): Promise<void> {
    this.retry()
    return new Promise(resolve => this.#waiters.push(resolve))
  }

  /** Somebody searches here: rows that only wait for their flush are brought to where searching them costs little. */
  searched(store: Store): void {
    if (store.index.tailRows < TAIL_ROWS || this.#placing.has(store) || this.#stopped || !this.#engine) return
    const placing = store.index
      .placeTails({ signal: this.#ending.signal })
      .catch(() => undefined) // only speed is lost, and the flush brings the rows itself and tells what is wrong
      .then(() => {
        this.#placing.delete(store)
      })
    this.#placing.set(store, placing)
  }

  /**
   * Somebody flushes: index files and compactions that have not begun wait until `work` has ended. It calibrates and then writes the index
   * file, and both would be in the way of that, with a file that is soon another. While rows stream in beside it they wait no longer than for
   * what it found: where somebody flushes all the time they would never keep up.
   */
  async flushing(work: () => Promise<void>): Promise<void> {
    let letGo!: () => void
    const gone = new Promise<void>(resolve => {
      letGo = resolve
    })
    const flusher = { gone, letGo, last: this.#begun + MOST_FOUND }
    this.#flushers.add(flusher)
    try {
      await work()
    } finally {
      this.#letGo(flusher)
    }
  }

  #letGo(flusher: Flusher): void {
    this.#flushers.delete(flusher)
    flusher.letGo()
  }

  /** Resolves when those that there are have let go, or the signal aborts. */
  async #afterFlushers(signal: AbortSignal): Promise<void> {
    await orAborted(Promise.all([...this.#flushers].map(({ gone }) => gone)), signal).catch(() => undefined)
  }

  /** Resolves when what runs has ended: of flushes that follow each other, the one that is under way. */
  async ended(): Promise<void> {
    if (this.#running) await new Promise<void>(resolve => this.#waiters.push(resolve))
  }

  /** Finish the flush that runs and stop; refining and healing end at their next slice. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retryTimer)
    this.#ending.abort()
    await this.#running
    await this.#tending
    await Promise.all(this.#placing.values())
    this.#forgetIdle()
    this.#changed()
  }

  async #flushAll(): Promise<boolean> {
    const engine = this.#engine!
    try {
      for (let next = oldest(engine); next && !this.#stopped; next = oldest(engine)) {
        this.#begun++
        for (const flusher of this.#flushers) if (this.#begun > flusher.last) this.#letGo(flusher)
        await this.#flush(engine, next)
        this.#error = undefined
        this.#retryMs = FIRST_RETRY_MS
        this.#changed()
        this.#tendSoon(next.store)
      }
    } catch (error) {
      this.#error = error as Error
      this.#failed = this.#begun
      this.#retryLater()
    } finally {
      await this.#giveUpAhead()
    }
    return true
  }

  async #flush(engine: Engine, { store, generation }: Due): Promise<void> {
    if (!generation.committed) {
      if (this.#ahead?.generation !== generation) await this.#giveUpAhead()
      const files = this.#ahead?.files ?? writeFiles(engine, store, generation)
      this.#ahead = undefined
      if (!(await commitFiles(engine, store, generation, await files))) return
    }
    this.#isMoving = true
    try {
      this.#writeAhead()
      await moveToBuckets(engine, store, generation)
    } finally {
      this.#isMoving = false
    }
  }

  /** The files of the generation that is flushed next, if there is one. */
  #writeAhead(): void {
    if (this.#ahead || this.#stopped) return
    const engine = this.#engine!
    const next = frozenFirst(engine, ({ committed }) => !committed)
    if (!next) return
    const files = writeFiles(engine, next.store, next.generation)
    files.catch(() => undefined) // met when its turn comes, or written anew
    this.#ahead = { generation: next.generation, files }
  }

  async #giveUpAhead(): Promise<void> {
    const ahead = this.#ahead
    this.#ahead = undefined
    const files = await ahead?.files.catch(() => undefined)
    if (files) await discardFiles(this.#engine!, files)
  }

  /** What makes opening fast and space small, beside flushes, which do not wait for it; one store after the other. */
  #tendSoon(store: Store): void {
    // Where somebody flushes all the time there are many flushes to a turn.
    if (this.#toTend.has(store)) return
    this.#toTend.add(store)
    this.#tending = this.#tending.then(async () => {
      const engine = this.#engine!
      const { signal } = this.#ending
      try {
        await this.#afterFlushers(signal)
        this.#toTend.delete(store)
        if (!signal.aborted && !store.dropped) await writeCheckpointIfDue(engine, store)
        await cutLog(engine)
        const { between } = engine.pace.course(signal)
        const mayCompact = () => this.healing.mode === 'background' && !signal.aborted
        while (mayCompact() && (await compactOnce(engine, store, { rests: true, signal }))) {
          await between()
          await this.#afterFlushers(signal)
        }
        this.#tendingError = undefined
      } catch (error) {
        // Only time or space is lost, and the next flush tries again; a dropped collection or an ending database has nothing to tend.
        if (!store.dropped && !signal.aborted) this.#tendingError = error as Error
      }
    })
  }

  #retryLater(): void {
    if (this.#stopped || this.#engine!.persistence.failed || this.#engine!.journal.failed) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.wake()
    }, this.#retryMs).unref()
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
  }

  #changed(): void {
    if (this.#waiters.length > 0) this.#floodedMs = performance.now()
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  /**
   * The next slice of what can wait, once the event loop has turned. None of it keeps a process alive; an immediate that does not, does not
   * wake a loop that sleeps either, so there is a timer besides.
   */
  #idleSoon(): void {
    if (this.#idleWork || this.#stopped) return
    this.#idleWork = setImmediate(() => this.#idle()).unref()
    this.#idleAfter(1)
  }

  #idleAfter(ms: number): void {
    if (this.#stopped) return
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => this.#idle(), ms).unref()
  }

  #idle(): void {
    this.#forgetIdle()
    // Under a flood neither pays: the memtable is flushed before its graph would be used, and the buckets change again.
    if (this.#stopped || this.#running || this.#engine!.journal.writer.pendingBytes > 0) return
    const course = this.#course!
    const rest = Math.max(this.#floodedMs + FLOODED_MS - performance.now(), course.restMs)
    if (rest > 0) this.#idleAfter(rest)
    else if (this.#link()) {
      course.worked(LINK_SLICE_MS)
      this.#idleSoon()
    } else this.#start(this.#refineOnce())
  }

  #forgetIdle(): void {
    clearImmediate(this.#idleWork)
    this.#idleWork = undefined
    clearTimeout(this.#idleTimer)
  }

  /** @param work - resolves to whether idle work may be left, and never rejects. */
  #start(work: Promise<boolean>): void {
    this.#running = work.then(more => {
      this.#running = undefined
      this.#changed()
      if (frozenFirst(this.#engine!) && !this.#error) this.wake()
      else if (more) this.#idleSoon()
    })
  }

  /** @returns whether rows still wait to be linked. */
  #link(): boolean {
    for (const store of this.#engine!.stores.values()) {
      const { index } = store
      if (!this.#placing.has(store) && index.link(LINK_SLICE_MS, () => performance.now())) return true
    }
    return false
  }

  async #refineOnce(): Promise<boolean> {
    const engine = this.#engine!
    const { signal } = this.#ending
    if (this.healing.mode !== 'background') return false
    let isSaving = false
    const began = performance.now()
    for (const store of engine.stores.values()) {
      try {
        if (await refineStore(engine, store, { signal, calibrates: false })) return true
        const step = await this.healing.step(engine, store, performance.now(), signal)
        if (step === 'healed') return true
        isSaving ||= step === 'saving'
      } catch (error) {
        if (signal.aborted) return false
        // Only speed is lost, and the next wake tries again; a dropped collection has nothing to refine.
        if (!store.dropped) this.#tendingError = error as Error
      } finally {
        this.#course!.worked(performance.now() - began)
      }
    }
    if (isSaving) this.#idleAfter(SAVING_MS)
    return false
  }
}

/** One piece of refining; a finished one is kept on disk. @returns whether there is more. */
export async function refineStore(
  engine: Engine,
  store: Store,
  options: Parameters<Store['index']['refine']>[0],
): Promise<boolean> {
  const before = store.index.refinements
  const more = await store.index.refine(options)
  if (store.index.refinements > before) await writePartition(engine, store)
  return more
}

interface Flusher {
  readonly gone: Promise<void>
  readonly letGo: () => void
  /** Of the flushes that it may wait for, as `#begun` counts. */
  readonly last: number
}

interface Due {
  readonly store: Store
  readonly generation: Generation
}

/** Files that are being written before their turn. */
interface Ahead {
  readonly generation: Generation
  readonly files: Promise<FlushedFiles>
}

/** The generation to flush next; freezes an active one when it alone holds back a log over its budget. */
function oldest(engine: Engine): Due | undefined {
  const first = frozenFirst(engine)
  if (first) return first
  const logBytes = engine.journal.writer.files().reduce((bytes, file) => bytes + file.bytes, 0)
  if (logBytes <= WAL_BUDGET_BYTES) return undefined
  const [store] = [...engine.stores.values()]
    .filter(candidate => candidate.active.lsnLow > 0)
    .sort((a, b) => a.active.lsnLow - b.active.lsnLow)
  if (!store?.freeze()) return undefined
  return { store, generation: store.frozen[0]! }
}

function frozenFirst(
  engine: Engine,
  counts: (generation: Generation) => boolean = () => true,
): Due | undefined {
  let best: Due | undefined
  for (const store of engine.stores.values()) {
    const generation = store.frozen.find(counts)
    if (generation && (!best || generation.lsnLow < best.generation.lsnLow)) best = { store, generation }
  }
  return best
}

/** Whether the collection may take another batch now: to be asked in the tick in which it is appended. */
export function hasRoom(engine: Engine, store: Store): boolean {
  const full = store.frozen.length >= MAX_FROZEN && store.isFull
  return !full && engine.journal.writer.pendingBytes < HIGH_WATER_BYTES
}

/** Wait for a change that may make room. @throws what keeps the janitor from making any. */
export async function waitForRoom(
  engine: Engine,
  store: Store,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (engine.journal.writer.pendingBytes >= HIGH_WATER_BYTES)
    return orAborted(engine.journal.writer.drained(), signal)
  const { error } = engine.janitor
  if (error) {
    throw new DriftError(
      'DRIFT_FLUSH_FAILED',
      `collection '${store.config.name}' is full and cannot be flushed: ${error.message}`,
      { collection: store.config.name },
      { cause: error },
    )
  }
  await orAborted(engine.janitor.turn(), signal)
}
