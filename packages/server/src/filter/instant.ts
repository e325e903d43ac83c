/**
 * Dates in payloads: text in the ISO 8601 form of a calendar date, alone or with a time. Without a zone it is UTC, so
 * that a filter means the same everywhere.
 */

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/
/** A date alone; JavaScript takes it for UTC already. */
const DATE_LENGTH = 10
const MAX_LENGTH = 35

/** Milliseconds since 1970, or undefined when the text is no date. Fractions below a millisecond are cut off. */
export function instantOf(text: string): number | undefined {
  if (text.length < DATE_LENGTH || text.length > MAX_LENGTH) return undefined
  const match = ISO_DATE.exec(text)
  if (!match) return undefined
  const instant = Date.parse(text.length > DATE_LENGTH && match[1] === undefined ? `${text}Z` : text)
  return Number.isNaN(instant) ? undefined : instant
}
