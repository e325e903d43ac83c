/**
 * What a caller gave: how an error shows it, and the checks that options have in common. Each throws DRIFT_OPTION, with the option's name in
 * `details`, unless it says otherwise.
 */
import { DriftError } from './errors.js'

const MAX_SHOWN_CHARS = 40
/** More than twice the longest name of ours: what is longer is like none. */
const MAX_WORD_CHARS = 64

export function wrongOption(option: string, value: unknown, expected: string): DriftError {
  return new DriftError('DRIFT_OPTION', `${option} is ${show(value)}, expected ${expected}`, { option })
}

/**
 * A copy: whoever waits would else see what the caller makes of its object meanwhile.
 *
 * @param known - every name that the options have: a list that lacks one does not compile.
 * @throws DriftError DRIFT_UNKNOWN_OPTION for a name that is none of them, besides.
 */
export function knownKeys<T extends object>(
  options: unknown,
  known: Record<keyof T, true>,
  where: string,
): T {
  if (options === undefined) return {} as T
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new DriftError('DRIFT_OPTION', `the options of ${where} are ${show(options)}, expected an object`)
  }
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(known, key)) continue
    const names = Object.keys(known)
    throw new DriftError('DRIFT_UNKNOWN_OPTION', `${where} has no option '${key}'${instead(key, names)}`, {
      option: key,
      known: names,
    })
  }
  return { ...options } as T
}

export function integerOption(option: string, value: unknown, low: number, high: number): void {
  if (value === undefined) return
  if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
    throw wrongOption(option, value, `an integer from ${low} to ${high}`)
  }
}

export function booleanOption(option: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') throw wrongOption(option, value, 'true or false')
}

export function functionOption(option: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') throw wrongOption(option, value, 'a function')
}

export function signalOption(signal: unknown): void {
  // By what is asked of it: one of another realm or of a polyfill is as good.
  const { throwIfAborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>
  const isSignal = typeof throwIfAborted === 'function' && typeof addEventListener === 'function'
  if (signal !== undefined && !isSignal) throw wrongOption('signal', signal, 'an AbortSignal')
}

/** A value as a person would write it, short. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > MAX_SHOWN_CHARS ? `${value.slice(0, MAX_SHOWN_CHARS)}…` : value)
  }
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object'
  return String(value)
}

/** What else there is, to end a sentence: the name that was probably meant, else all of them. A far-fetched guess misleads. */
function instead(given: string, known: readonly string[]): string {
  // A body may hold a key of megabytes, and each comparison takes their number times the name's.
  const word = given.slice(0, MAX_WORD_CHARS)
  const byDistance = [...known].sort((a, b) => editDistance(word, a) - editDistance(word, b))
  const meant = byDistance.find(name => isLike(word, name))
  if (meant !== undefined) return `; did you mean '${meant}'?`
  return known.length === 0 ? '' : `, only ${known.join(', ')}`
}

/** At most half of the letters differ, or one begins or ends with the other, which then has more than one letter. */
function isLike(word: string, name: string): boolean {
  const [short, long] = [word.toLowerCase(), name.toLowerCase()].sort((a, b) => a.length - b.length) as [
    string,
    string,
  ]
  if (short.length > 1 && (long.startsWith(short) || long.endsWith(short))) return true
  return editDistance(word, name) <= Math.floor(long.length / 2)
}

/** Levenshtein distance, ignoring case. */
function editDistance(left: string, right: string): number {
  const [a, b] = [left.toLowerCase(), right.toLowerCase()]
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substitution))
    }
    row = next
  }
  return row[b.length]!
}
