import { type ParseArgsConfig, parseArgs } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>

/**
 * Reads a program's options. `--help` prints `usage` and ends the process with 0; options that do not exist or lack their value end it
 * with 2, after a sentence and `usage`.
 */
export function commandLine<const T extends Options>(usage: string, options: T) {
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: 'boolean', short: 'h' } } })
    if (!values['help' as keyof typeof values])
      return values as ReturnType<typeof parseArgs<{ options: T }>>['values']
    console.log(usage)
    process.exit(0)
  } catch (error) {
    if (!(error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) throw error
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}
