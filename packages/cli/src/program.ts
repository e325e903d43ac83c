/** The command `drift`: what it knows, and how it ends. Rule: what only some commands need is imported when one of them runs. */
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { addBench } from './commands/bench.js'
import { addCompletions } from './commands/completions.js'
import { addFiles } from './commands/files.js'
import { addOperations } from './commands/operations.js'
import { addRows } from './commands/rows.js'
import { addServe } from './commands/serve.js'
import { addTop } from './commands/top.js'
import { type CliError, EXIT } from './errors.js'
import { writable } from './json.js'
import type { Output, Report } from './output.js'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 done but some rows were rejected, 4 a check found damage,
130 stopped by Ctrl-C.`

/** Codes of arguments that only whoever takes them could tell to be wrong. */
const USAGE =
  /^DRIFT_(DIMENSION|EXPORT_FORMAT|FILTER|FILTER_LIMIT|ID|IMPORT_FORMAT|INDEX|INSECURE|JSON|K|METRIC|NAME|OPTION|PATH|RADIUS|RECALL|UNKNOWN_OPTION|URL|VECTOR_TYPE|VECTOR_VALUE|ZERO_VECTOR)$/

/** Runs the command line and returns its exit code. */
export async function run(args: readonly string[], { out, err }: Output): Promise<number> {
  let code: number = EXIT.done
  const report: Report = Object.assign(
    (result: unknown, text?: string, exit: number = EXIT.done) => {
      code = exit
      if (result === undefined) return
      out(report.json() ? JSON.stringify(result, writable) : (text ?? JSON.stringify(result, writable, 2)))
    },
    { json: () => [program, ...program.commands].some(each => each.opts()['json'] === true) },
  )
  const program = commands(report)
  // Of arguments that cannot be read no option is known yet.
  const wantsJson = args.includes('--json')
  const quiet = {
    writeOut: (text: string) => out(text.trimEnd()),
    writeErr: (text: string) => {
      if (!wantsJson) err(text.trimEnd())
    },
  }
  for (const each of [program, ...program.commands]) {
    const name = each === program ? '' : `${each.name()} `
    each.exitOverride().configureOutput(quiet).showHelpAfterError(`(drift ${name}--help says more)`)
  }
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    const {
      code: given = 'DRIFT_INTERNAL',
      message,
      details,
      exitCode,
    } = error as CliError & { exitCode?: number }
    // What the system says has a code of its own: a port that is taken, a file that may not be read.
    const name = /^E[A-Z0-9]+$/.test(given) ? 'DRIFT_SYSTEM' : given
    if (name.startsWith('commander.')) {
      if (exitCode === 0) return EXIT.done
      if (wantsJson)
        err(JSON.stringify({ error: { code: 'DRIFT_OPTION', message: message.replace(/^error: /, '') } }))
      return EXIT.usage
    }
    err(
      report.json()
        ? JSON.stringify({ error: { code: name, message, details } }, writable)
        : `${name}: ${message}`,
    )
    return USAGE.test(name) ? EXIT.usage : EXIT.failed
  }
}

function commands(report: Report): Command {
  const program = new Command('drift')
    .description(
      'A durable vector engine. DATABASE is a folder, or the URL of a server (its key in DRIFT_KEY).',
    )
    .version(version)
    .option('--json', 'print results and errors as one line of JSON')
    .addHelpText('after', EXIT_CODES)
  for (const add of [addServe, addRows, addFiles, addOperations, addBench, addTop, addCompletions])
    add(program, report)
  // Taken behind the command too, where most people write it.
  for (const command of program.commands) command.addOption(new Option('--json').hideHelp())
  return program
}
