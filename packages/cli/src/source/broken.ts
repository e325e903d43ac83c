/** The error of a file that is not what it says it is. */
import { CliError } from '../errors.js'

export function broken(path: string, reason: string, cause?: unknown): CliError {
  return new CliError('DRIFT_IMPORT_FILE', `${path} ${reason}`, { path }, { cause })
}
