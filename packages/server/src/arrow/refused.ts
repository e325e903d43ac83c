/** The errors of reading Arrow, all DRIFT_ARROW. */
import { DriftError } from '../errors.js'

export function refused(message: string, row?: number): DriftError {
  return new DriftError('DRIFT_ARROW', message, row === undefined ? {} : { row })
}

/** The library stumbled. */
export function notArrow(what: string, cause: unknown): DriftError {
  return new DriftError('DRIFT_ARROW', `${what}: ${(cause as Error).message}`, {}, { cause })
}
