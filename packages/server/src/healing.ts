/**
 * Healing in the background: which operation of which collection runs next, paid by what was written there, and who is told.
 * Rule: one operation at a time, a few milliseconds each, so that a close or a flush behind it hardly waits. The partition on disk is
 * written again when half of the rows have moved, sooner when there is nothing else to do: an older one is as true, only slower to
 * search, but what has moved since would have to move again after the next open.
 */
import { channel } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'
import { type Healed, type HealState, notify, type OperationKind, Scheduler } from '@drift/core'
import { writePartition } from './checkpoint.js'
import type { Engine } from './engine.js'
import type { Store } from './store.js'

/** `background`: when nothing else is to do. `manual`: by `collection.maintain()` only. `off`: not even that. */
export type MaintenanceMode = 'background' | 'manual' | 'off'

/** One operation that was done. */
export interface MaintenanceEvent {
  readonly collection: string
  readonly kind: OperationKind
  readonly bucket: number
  /** Rows that got another bucket, and rows of which only the second one changed. */
  readonly moves: number
  readonly seconds: number
  readonly before: HealState
  readonly after: HealState
}

/** `healed`: there may be more at once. `saving`: what is next waits until time or writes have paid for it. `rest`: nothing is due. */
export type HealStep = 'healed' | 'saving' | 'rest'

/** Share of the rows that moved since the partition was written, from which on it is written again. */
const MOVED_DUE = 0.5
/** The same when nothing is left to heal: a file of the index is some two rows' worth of bytes for each of these moves. */
const MOVED_AT_REST = 0.25
/** And after healing by hand. */
const MOVED_BY_HAND = 0.02

const published = channel('drift:maintenance')

/** What one collection has earned, and what is left of its last plan. */
interface Schedule {
  readonly scheduler: Scheduler
  /** `index.updates` up to which tokens were earned, and at which the last plan was made. */
  earned: number
  planned: number
  /** Whether anything of that plan came to something. */
  applied: boolean
  lastMs: number
}

export class Healing {
  mode: MaintenanceMode = 'background'
  readonly events: EventEmitter = new EventEmitter()
  readonly #schedules: WeakMap<Store, Schedule> = new WeakMap()
  readonly #moved: WeakMap<Store, number> = new WeakMap()

  /** The next operation of this collection. */
  async step(engine: Engine, store: Store, nowMs: number, signal?: AbortSignal): Promise<HealStep> {
    const schedule = this.#scheduleOf(store, nowMs)
    const { scheduler } = schedule
    const { index } = store
    scheduler.earn(index.updates - schedule.earned)
    schedule.earned = index.updates
    scheduler.rest(nowMs - schedule.lastMs)
    schedule.lastMs = nowMs
    if (scheduler.waiting === 0) {
      if (schedule.planned === index.updates && !schedule.applied) {
        await this.#keep(engine, store, MOVED_AT_REST)
        return 'rest'
      }
      schedule.planned = index.updates
      scheduler.offer(await index.planInSlices({ signal }))
      scheduler.tidy(nowMs)
      schedule.applied = false
    }
    const operation = scheduler.next(nowMs)
    if (operation === undefined) return scheduler.waiting > 0 ? 'saving' : 'rest'
    const healed = await index.apply(operation, { signal })
    scheduler.done(operation, healed.moves, healed.applied, nowMs)
    schedule.applied ||= healed.applied
    this.tell(store, healed)
    await this.#keep(engine, store, MOVED_DUE)
    return 'healed'
  }

  tell(store: Store, { operation, applied, moves, seconds, before, after }: Healed): void {
    if (!applied) return
    this.#moved.set(store, (this.#moved.get(store) ?? 0) + moves)
    const { kind, bucket } = operation
    const event: MaintenanceEvent = {
      collection: store.config.name,
      kind,
      bucket,
      moves,
      seconds,
      before,
      after,
    }
    if (published.hasSubscribers) published.publish(event)
    for (const listener of this.events.listeners('maintenance')) notify(() => listener(event))
  }

  /** What was healed by hand is there after the next open, if it was much. */
  async keep(engine: Engine, store: Store): Promise<void> {
    await this.#keep(engine, store, MOVED_BY_HAND)
  }

  /** Write the partition when this share of the rows has moved. */
  async #keep(engine: Engine, store: Store, share: number): Promise<void> {
    if ((this.#moved.get(store) ?? 0) < share * Math.max(1, store.index.count)) return
    this.#moved.set(store, 0)
    await writePartition(engine, store)
  }

  #scheduleOf(store: Store, nowMs: number): Schedule {
    let schedule = this.#schedules.get(store)
    if (schedule === undefined) {
      const { updates } = store.index
      schedule = { scheduler: new Scheduler(), earned: updates, planned: -1, applied: false, lastMs: nowMs }
      this.#schedules.set(store, schedule)
    }
    return schedule
  }
}
