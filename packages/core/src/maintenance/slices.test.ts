/** Proves that however many pieces of long work go on at once, what waits for the event loop waits for one of their slices. */
import { expect, it } from 'vitest'
import { Slices } from './slices.js'

it('no two pieces of long work have a slice in the same turn of the event loop', async () => {
  let turns = 0
  let isCounting = true
  const count = (): void => {
    turns++
    if (isCounting) setImmediate(count)
  }
  setImmediate(count)
  const slicesAt: number[] = []
  const work = async (): Promise<void> => {
    const slices = new Slices(() => {})
    for (let i = 0; i < 20; i++) {
      await slices.turn()
      slicesAt.push(turns)
    }
  }
  await Promise.all([work(), work(), work()])
  isCounting = false
  expect(slicesAt).toHaveLength(60)
  expect(new Set(slicesAt).size).toBe(60)
})
