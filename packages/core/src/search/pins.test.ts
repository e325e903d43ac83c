/** Proves that nothing is freed while a pin that may reach it is open, and that everything is freed after. */
import { expect, it } from 'vitest'
import { seededRandom } from '../random.js'
import { Pins } from './pins.js'

it('without a pin, freeing is immediate', () => {
  const pins = new Pins()
  const freed: string[] = []
  pins.retire(what => freed.push(what), 'a')
  expect(freed).toEqual(['a'])
})

it('what was retired after a pin opened waits for it, and a younger pin does not wait for more', () => {
  const pins = new Pins()
  const freed: string[] = []
  const releaseOld = pins.open()
  pins.retire(what => freed.push(what), 'a')
  const releaseYoung = pins.open()
  pins.retire(what => freed.push(what), 'b')
  releaseOld()
  expect(freed).toEqual(['a'])
  releaseOld()
  expect(freed).toEqual(['a'])
  releaseYoung()
  expect(freed).toEqual(['a', 'b'])
})

it('what is called when an item is freed may open a pin and release it: each is freed once', () => {
  const pins = new Pins()
  const freed: string[] = []
  const free = (what: string) => {
    freed.push(what)
    if (freed.length < 10) pins.open()()
  }
  const release = pins.open()
  pins.retire(free, 'a')
  pins.retire(free, 'b')
  release()
  expect(freed).toEqual(['a', 'b'])
})

it('over random orders, each item is freed once, exactly when its last older pin is released', () => {
  const random = seededRandom(3)
  const pins = new Pins()
  const open: { order: number; release: () => void }[] = []
  const waiting = new Map<number, number[]>() // item -> pins open when it was retired
  const freed = new Set<number>()
  for (let step = 0; step < 5000; step++) {
    const choice = random()
    if (choice < 0.35) open.push({ order: step, release: pins.open() })
    else if (choice < 0.65) {
      waiting.set(
        step,
        open.map(pin => pin.order),
      )
      pins.retire(item => {
        expect(freed.has(item)).toBe(false)
        freed.add(item)
      }, step)
    } else if (open.length > 0) {
      open.splice(Math.floor(random() * open.length), 1)[0]!.release()
    }
    const stillOpen = new Set(open.map(pin => pin.order))
    for (const [item, blockers] of waiting) {
      const isBlocked = blockers.some(order => stillOpen.has(order))
      expect(freed.has(item)).toBe(!isBlocked)
      if (!isBlocked) waiting.delete(item)
    }
  }
  expect(freed.size).toBeGreaterThan(1000)
})
