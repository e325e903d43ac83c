/** The options of a command from three places: flag before environment before file before default. */
import type { Command, Option } from 'commander'
import { CliError } from './errors.js'
import { jsonFile } from './json.js'

export type Settings = Readonly<Record<string, unknown>>

/** All of them go through the option's own parser. @throws CliError DRIFT_OPTION, DRIFT_UNKNOWN_OPTION */
export function settings(command: Command): Settings {
  const file = (command.opts()['config'] ?? process.env['DRIFT_CONFIG']) as string | undefined
  const fromFile = file === undefined ? {} : (jsonFile(file) as Record<string, unknown>)
  if (typeof fromFile !== 'object' || fromFile === null || Array.isArray(fromFile))
    throw new CliError('DRIFT_OPTION', `${file} holds no object with options`)
  const options = command.options.filter(option => option.attributeName() !== 'config')
  const known = options.map(option => option.attributeName())
  for (const key of Object.keys(fromFile)) {
    if (known.includes(key)) continue
    throw new CliError(
      'DRIFT_UNKNOWN_OPTION',
      `${file}: there is no option '${key}', only ${known.join(', ')}`,
      { option: key },
    )
  }
  for (const option of options) {
    const name = option.attributeName()
    if (command.getOptionValueSource(name) === 'cli') continue
    const variable = `DRIFT_${name.replace(/[A-Z]/g, upper => `_${upper}`).toUpperCase()}`
    const fromEnvironment = process.env[variable]
    const given = fromEnvironment ?? fromFile[name]
    if (given === undefined) continue
    const place = fromEnvironment === undefined ? `'${name}' in ${file}` : variable
    command.setOptionValueWithSource(name, parsed(option, given, place), 'env')
  }
  return command.opts()
}

function parsed(option: Option, given: unknown, place: string): unknown {
  if (option.isBoolean()) {
    if (given === true || given === 'true' || given === '1') return true
    if (given === false || given === 'false' || given === '0') return undefined
    throw new CliError('DRIFT_OPTION', `${place} is ${JSON.stringify(given)}, expected true or false`)
  }
  const text =
    Array.isArray(given) && given.every(item => typeof item === 'string')
      ? given.join(',')
      : typeof given === 'object'
        ? JSON.stringify(given)
        : String(given)
  try {
    return option.parseArg ? option.parseArg(text, undefined) : text
  } catch (error) {
    throw new CliError(
      'DRIFT_OPTION',
      `${place} is ${text}: ${(error as Error).message}`,
      {},
      { cause: error },
    )
  }
}
