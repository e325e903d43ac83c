/**
 * Dates in payloads: text in the ISO 8601 form of a calendar date, alone or with a time. Without a zone it is UTC, so
 * that a filter means the same everywhere.
 */

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/
/** A date alone; JavaScript takes it for UTC already. */
const DATE_LENGTH = 10
const MAX_LENGTH = 35
/** Days that every month has. */
const EVERY_MONTH = 28

/** Milliseconds since 1970, or undefined when the text is no date. Fractions below a millisecond are cut off. */
export function instantOf(text: string): number | undefined {
  if (text.length < DATE_LENGTH || text.length > MAX_LENGTH) return undefined
  const match = ISO_DATE.exec(text)
  if (!match) return undefined
  const instant = Date.parse(text.length > DATE_LENGTH && match[1] === undefined ? `${text}Z` : text)
  return Number.isNaN(instant) || !isInMonth(text) ? undefined : instant
}

/** JavaScript takes 30 February for the first day of March: a month's end written without a calendar would let in what comes after. */
function isInMonth(text: string): boolean {
  const day = Number(text.slice(DATE_LENGTH - 2, DATE_LENGTH))
  return day <= EVERY_MONTH || new Date(text.slice(0, DATE_LENGTH)).getUTCDate() === day
}
