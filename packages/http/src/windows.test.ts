// Proves: a caller gets so many in a window and no more, beside others, and windows end; very many callers take bounded memory.
import { describe, expect, it } from 'vitest'
import { Windows } from './windows.js'

describe('windows', () => {
  it('let so many through, say how long the next one waits, and begin anew when they end', () => {
    const windows = new Windows(2, 1_000)
    expect([windows.take('a', 0), windows.take('a', 100), windows.take('a', 200)]).toEqual([0, 0, 1])
    expect(windows.take('b', 300)).toBe(0)
    expect([windows.take('a', 999), windows.take('a', 1_000)]).toEqual([1, 0])
  })

  it('can be asked without being counted', () => {
    const windows = new Windows(1, 60_000)
    expect([windows.wait('a', 0), windows.wait('a', 0), windows.take('a', 0)]).toEqual([0, 0, 0])
    expect([windows.wait('a', 30_500), windows.wait('a', 60_000)]).toEqual([30, 0])
  })

  it('forget the caller whose window is oldest', () => {
    const windows = new Windows(1, 60_000)
    windows.take('first', 0)
    windows.take('second', 1)
    for (let other = 0; other < 9_999; other++) windows.take(`other ${other}`, 2)
    expect([windows.wait('first', 3), windows.wait('second', 3)]).toEqual([0, 60])
  })
})
