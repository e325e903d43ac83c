/** Options by name: one that nobody knows is a limit or a key that is not in force. */
import { HttpError } from './errors.js'

/** @throws HttpError DRIFT_OPTION, DRIFT_UNKNOWN_OPTION */
export function assertKnown<T extends object>(
  options: T,
  known: Record<keyof T, unknown>,
  where: string,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new HttpError('DRIFT_OPTION', `the options of ${where} are ${String(options)}, expected an object`)
  }
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(known, option)) continue
    throw new HttpError(
      'DRIFT_UNKNOWN_OPTION',
      `${where} has no option '${option}', only ${Object.keys(known).join(', ')}`,
      {
        option,
      },
    )
  }
}
