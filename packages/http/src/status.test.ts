// Proves: docs/http.md has every status that is not 400 or 500 by default, and every limit with its default; neither lists what is not there.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from './limits.js'
import { STATUS, statusOf } from './status.js'

const page = readFileSync(new URL('../../../docs/http.md', import.meta.url), 'utf8')
const section = (title: string): string => page.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!

describe('docs/http.md', () => {
  test('shows the status of every code that has one of its own', () => {
    const shown = [...section('Errors').matchAll(/^\| (\d{3}) .*$/gm)].flatMap(([line, status]) =>
      [...line.matchAll(/`(DRIFT_[A-Z_]+)`/g)].map(([, code]) => [code!, Number(status)] as const),
    )
    expect(Object.fromEntries(shown)).toEqual(STATUS)
    for (const [code, status] of shown) expect([code, statusOf(code)]).toEqual([code, status])
  })

  test('shows every limit with its default', () => {
    const shown = [...section('Limits').matchAll(/^\| (`.*?) +\| (.*?) +\|/gm)].flatMap(
      ([, names, values]) => {
        const defaults = values!.split(', ').map(bytes)
        return [...names!.matchAll(/`(\w+)`/g)].map(([, name], i) => [name!, defaults[i]!] as const)
      },
    )
    expect(Object.fromEntries(shown)).toEqual(DEFAULT_LIMITS)
  })
})

/** `8 MiB` or `50 000`. */
function bytes(text: string): number {
  const [, digits, unit] = /^([\d ]+?)( MiB)?$/.exec(text)!
  return Number(digits!.replaceAll(' ', '')) * (unit ? 1024 * 1024 : 1)
}
