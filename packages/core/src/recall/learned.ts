/**
 * What an index learned about its recall, as bytes: what its calibration told (calibrate.ts), and what shadow queries taught (floor-learner.ts)
 * and measured. Derived, and only worth something beside the partition that it was learned on; whoever stores it keeps the two together.
 * Rule: what is read is checked before any of it counts, and refused whole.
 *
 *   version u32 | bytes of the text u32 | text: JSON, spaces up to a multiple of 4 | f32 values: meetings of self-queries, of far ones, then samples by k
 */
import { CoreError } from '../errors.js'
import { DEPTHS, type Told } from './calibrated-floors.js'
import { MEETING_FACTS } from './meeting.js'

/** Samples of one k (floor-learner.ts), newest last. */
export interface LearnedSamples {
  readonly k: number
  /** Floors in use: recall, floor. */
  readonly floors: readonly (readonly [number, number])[]
  readonly samples: readonly Float32Array[]
}

/** Of one k and target: sums over queries, older ones counted for less. */
export interface Tally {
  readonly k: number
  readonly target: number
  /** All of these are forgotten alike. */
  queries: number
  recall: number
  squares: number
}

/** What a calibration told. */
export interface Calibration {
  /** Undefined: there was none, or it told nothing. */
  readonly told: Told | undefined
  /** Rows in buckets at that time. */
  readonly rows: number
  readonly isRough: boolean
}

/** What shadow queries told. */
export interface ShadowLearned {
  /** Share of the rows in scanned buckets that the scan left out. */
  readonly loss: number
  readonly byK: readonly LearnedSamples[]
  readonly tallies: readonly Tally[]
}

export interface Learned {
  readonly calibration: Calibration
  readonly shadow: ShadowLearned
}

/** Of the layout and of what the values mean. */
const VERSION = 5
const HEAD_BYTES = 8

/** The text: arrays of values by their lengths. */
interface LearnedText {
  /** Of the calibration's meetings. */
  readonly own?: number[] | undefined
  readonly far?: number[] | undefined
  /** The calibration's losses. */
  readonly leftOut?: readonly number[] | undefined
  readonly farMisses?: number | undefined
  readonly rows?: number
  readonly rough?: boolean | undefined
  /** That of shadow queries. */
  readonly loss: number
  readonly byK: readonly (Omit<LearnedSamples, 'samples'> & { readonly lengths: number[] })[]
  readonly tallies: readonly Tally[]
}

export function encodeLearned({ calibration, shadow }: Learned): Uint8Array {
  const { told, rows, isRough } = calibration
  const { loss, byK, tallies } = shadow
  const lengthsOf = (parts: readonly Float32Array[]) => parts.map(({ length }) => length)
  const text = JSON.stringify({
    own: told && lengthsOf(told.meetings),
    far: told && lengthsOf(told.far),
    leftOut: told?.losses,
    farMisses: told?.farMisses,
    rows,
    rough: isRough || undefined,
    loss,
    byK: byK.map(({ k, floors, samples }) => ({ k, floors, lengths: lengthsOf(samples) })),
    tallies,
  } satisfies LearnedText)
  const head = Buffer.from(text.padEnd(4 * Math.ceil(text.length / 4)))
  const parts = [...(told?.meetings ?? []), ...(told?.far ?? []), ...byK.flatMap(({ samples }) => samples)]
  const count = parts.reduce((sum, { length }) => sum + length, 0)
  const bytes = new Uint8Array(HEAD_BYTES + head.length + 4 * count)
  new Uint32Array(bytes.buffer, 0, 2).set([VERSION, head.length])
  bytes.set(head, HEAD_BYTES)
  const values = new Float32Array(bytes.buffer, HEAD_BYTES + head.length)
  let at = 0
  for (const part of parts) {
    values.set(part, at)
    at += part.length
  }
  return bytes
}

/** @throws CoreError DRIFT_IMAGE when that is not what `encodeLearned` wrote, or another version of it. */
export function decodeLearned(bytes: Uint8Array): Learned {
  const whole = new Uint8Array(bytes) // a Buffer slices without copying
  const [version, textBytes] = new Uint32Array(whole.buffer, 0, whole.length < HEAD_BYTES ? 0 : 2)
  if (version !== VERSION) throw misfit(`it is of version ${version}`)
  if (textBytes! % 4 !== 0 || HEAD_BYTES + textBytes! > whole.length || whole.length % 4 !== 0) {
    throw misfit(`it has ${whole.length} bytes`)
  }
  const text = Buffer.from(whole.buffer, HEAD_BYTES, textBytes!).toString()
  const { own, far, leftOut, farMisses, rows, rough, loss, byK, tallies } = parsed(text)
  const values = new Float32Array(whole.buffer, HEAD_BYTES + textBytes!)
  if (values.some(Number.isNaN)) throw misfit('a value is no number')
  let at = 0
  const take = (lengths: readonly number[]) =>
    lengths.map(length => {
      at += length
      return values.slice(at - length, at)
    })
  const calibration = {
    told: own && { meetings: take(own), far: take(far), losses: leftOut, farMisses },
    rows,
    isRough: rough,
  }
  const samples = byK.map(({ k, floors, lengths }) => ({ k, floors, samples: take(lengths) }))
  if (at !== values.length) throw misfit(`it has ${values.length} values and names ${at}`)
  return { calibration, shadow: { loss, byK: samples, tallies } }
}

/** What earlier releases, or an index that was not calibrated, leave out. */
const LEFT_OUT = { far: [], leftOut: [], farMisses: 1, rows: 0, rough: false } as const

type WholeText = LearnedText & { readonly [K in keyof typeof LEFT_OUT]: NonNullable<LearnedText[K]> }

function parsed(text: string): WholeText {
  try {
    const found = { ...LEFT_OUT, ...JSON.parse(text) } as WholeText
    if (isSound(found)) return found
  } catch {
    // No JSON, or one of another shape.
  }
  throw misfit('its text says what cannot be')
}

function isSound({ own, far, leftOut, farMisses, rows, rough, loss, byK, tallies }: WholeText): boolean {
  const areLengths = (of: unknown, unit: number): boolean =>
    Array.isArray(of) && of.every(length => Number.isSafeInteger(length) && length > 0 && length % unit === 0)
  return (
    (own === undefined || areLengths(own, MEETING_FACTS)) &&
    areLengths(far, MEETING_FACTS) &&
    typeof rough === 'boolean' &&
    (isCount(rows) || (rows === 0 && own === undefined)) &&
    Array.isArray(leftOut) &&
    leftOut.length <= DEPTHS.length &&
    farMisses >= 1 &&
    leftOut.every(share => share >= 0 && share <= 1) &&
    loss >= -1 &&
    loss <= 1 &&
    Array.isArray(byK) &&
    byK.every(({ k, floors, lengths }) => isCount(k) && areFloors(floors) && areLengths(lengths, 1)) &&
    Array.isArray(tallies) &&
    tallies.every(isTally)
  )
}

function areFloors(floors: LearnedSamples['floors']): boolean {
  return Array.isArray(floors) && floors.every(([recall, floor]) => recall > 0 && recall < 1 && floor > 0)
}

function isTally({ k, target, queries, recall, squares }: Tally): boolean {
  const isSum = (value: number) => value >= 0 && value <= queries
  return isCount(k) && target > 0 && target < 1 && queries > 0 && isSum(recall) && isSum(squares)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1
}

function misfit(what: string): CoreError {
  return new CoreError('DRIFT_IMAGE', `what was learned does not fit: ${what}`)
}
