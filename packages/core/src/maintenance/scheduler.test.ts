/** Proves that the best operation for its moves runs first, within what writes and idle time pay for, and that none starves another. */
import { expect, it } from 'vitest'
import type { Operation } from './plan.js'
import { Scheduler } from './scheduler.js'

function operation(bucket: number, gain: number, moves: number): Operation {
  return { kind: 'refine', bucket, gain, moves, policy: 'drift', serial: bucket }
}

it('operations come in order of gain per move', () => {
  const scheduler = new Scheduler()
  scheduler.earn(1000)
  const gains = [3, 9, 1, 7, 5, 8, 2]
  scheduler.offer(gains.map((gain, bucket) => operation(bucket, gain, 1)))
  const order = gains.map(() => scheduler.next(0)!.gain)
  expect(order).toEqual([...gains].sort((a, b) => b - a))
  expect(scheduler.next(0)).toBeUndefined()
})

it('a move needs a token, which a written row or idle time brings', () => {
  const scheduler = new Scheduler({ idleMovesPerMs: 2 })
  const [dear] = [operation(1, 100, 8)]
  scheduler.offer([dear!])
  expect(scheduler.next(0)).toBeUndefined()
  scheduler.earn(4)
  expect(scheduler.next(0)).toBeUndefined()
  scheduler.rest(2)
  expect(scheduler.next(0)).toBe(dear)
  scheduler.done(dear!, 8, true, 0)
  expect(scheduler.tokens).toBe(0)
})

it('a year of silence buys no more than a large flush', () => {
  const scheduler = new Scheduler()
  scheduler.rest(3e10)
  expect(scheduler.tokens).toBe(65_536)
})

it('one that comes to nothing waits twice as long each time, while others go on', () => {
  const scheduler = new Scheduler()
  scheduler.earn(1000)
  const [bad, good] = [operation(1, 1e6, 900), operation(2, 1, 1)]
  scheduler.earn(1000)
  const tried: number[] = []
  let others = 0
  for (let now = 0; now < 2000; now++) {
    scheduler.offer([bad!, good!])
    for (let next = scheduler.next(now); next; next = scheduler.next(now)) {
      if (next === bad) tried.push(now)
      else others++
      scheduler.done(next, 0, next !== bad, now)
    }
  }
  expect(tried).toEqual([0, 100, 300, 700, 1500])
  expect(others).toBe(2000)
})
