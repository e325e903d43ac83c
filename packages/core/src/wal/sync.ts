/** When a write is acknowledged, and the one check of it: the log's writer and the option of an opening refuse by the same sentence. */
import { kindOf } from '../arguments.js'

/** After its sync, after its write with a sync every intervalMs, or after its write. */
export type WalSync = 'always' | { readonly intervalMs: number } | 'os'

/** A timer that is set for longer goes off at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Why it is no sync mode, as a sentence; undefined when it is one. One that is not known would count as `os`, by which nothing is ever synced. */
export function whyNoSync(sync: unknown): string | undefined {
  if (sync === 'always' || sync === 'os') return undefined
  const isObject = typeof sync === 'object' && sync !== null
  const ms = isObject ? (sync as { intervalMs?: unknown }).intervalMs : undefined
  if (typeof ms === 'number' && ms > 0 && ms <= MAX_TIMER_MS) return undefined
  const given = isObject ? `{ intervalMs: ${shown(ms)} }` : shown(sync)
  return `sync is ${given}, expected 'always', 'os' or { intervalMs: a number above 0, at most ${MAX_TIMER_MS} }`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'number' ? String(value) : kindOf(value)
}
