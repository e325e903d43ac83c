/**
 * The command `drift`. Rule: stdout has the result (with --json as one line of JSON), stderr everything else; keys come
 * from the environment or a file.
 */
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import type { CollectionOptions, Id } from '@drift/client'
import { type ApiKey, closeOnSignals, createKey, type ServeOptions, serve } from '@drift/http'
import { Drift } from '@drift/server'
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError } from 'commander'
import { CliError, EXIT } from './errors.js'
import { importFile, writable } from './import.js'
import { call, withTarget } from './target.js'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

export interface Output {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

/** Runs the command line and returns its exit code. */
export async function run(args: readonly string[], { out, err }: Output): Promise<number> {
  let code: number = EXIT.done
  const program = commands((result, text, exit = EXIT.done) => {
    const json = program.opts()['json'] === true
    out(json ? JSON.stringify(result ?? {}, writable) : (text ?? JSON.stringify(result ?? {}, writable, 2)))
    code = exit
  })
  const quiet = {
    writeOut: (text: string) => out(text.trimEnd()),
    writeErr: (text: string) => err(text.trimEnd()),
  }
  for (const each of [program, ...program.commands]) each.exitOverride().configureOutput(quiet)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    const {
      code: name = 'DRIFT_INTERNAL',
      message,
      details,
      exitCode,
    } = error as CliError & { exitCode?: number }
    if (name.startsWith('commander.')) return exitCode === 0 ? EXIT.done : EXIT.usage
    err(
      program.opts()['json'] === true
        ? JSON.stringify({ error: { code: name, message, details } }, writable)
        : `${name}: ${message}`,
    )
    return EXIT.failed
  }
}

type Report = (result: unknown, text?: string, exit?: number) => void

function commands(report: Report): Command {
  const program = new Command('drift')
    .description(
      'A durable vector engine. DATABASE is a folder, or the URL of a server (its key in DRIFT_KEY).',
    )
    .version(version)
    .option('--json', 'print results and errors as one line of JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 wrong arguments, 3 done but some rows were rejected.',
    )
  addServe(program, report)
  addRows(program, report)
  addOperations(program, report)
  return program
}

function addServe(program: Command, report: Report): void {
  const command = program
    .command('serve <folder>')
    .description(
      'serve a database over HTTP; each option also as DRIFT_<OPTION> in the environment or in a file (--config)',
    )
    .option('--config <file>', 'JSON with the options, by their names here in camelCase')
    .option(
      '--host <address>',
      'where to listen; from outside of this machine takes keys and TLS',
      '127.0.0.1',
    )
    .option('--port <number>', '0 takes a free one', integer, 7700)
    .option('--keys <file>', 'JSON: [{ "id", "hash", "scope", "collections"? }], hashes from `drift key`')
    .option('--tls-cert <file>', 'PEM')
    .option('--tls-key <file>', 'PEM')
    .option('--insecure-plaintext', 'keys over plain HTTP: a proxy in front does TLS')
    .option('--insecure-no-keys', 'everyone who reaches the server may do everything')
    .option('--backup-folder <folder>', 'backups are made below it')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent', 'info')
  command.action(async (folder: string) => {
    const options = settings(command)
    const server = await serve(serveOptions(folder, options))
    const { collections, wal } = await server.db.stats()
    const names = collections.map(({ name, rows }) => `${name} (${rows} rows)`).join(', ') || 'no collections'
    const opened = { url: server.url, folder, collections: collections.length, durableLsn: wal.durableLsn }
    report(
      opened,
      `drift listens on ${server.url}\n  opened ${folder}: ${names}; recovered up to lsn ${wal.durableLsn}`,
    )
    closeOnSignals(server)
    await once(process, 'exit')
  })
  program
    .command('key')
    .description('make an API key: the key for the caller, its hash for the keys file')
    .action(() => {
      const made = createKey()
      report(made, `key   ${made.key}\nhash  ${made.hash}`)
    })
}

function addRows(program: Command, report: Report): void {
  program
    .command('create <database> <collection>')
    .description('create a collection, or check that the one of this name agrees')
    .requiredOption('--dim <number>', 'values per vector', integer)
    .option('--metric <metric>', 'l2, cosine or ip', 'cosine')
    .action((where: string, name: string, { dim, metric }: { dim: number; metric: 'cosine' }) =>
      withTarget(where, async target => {
        const rows = await target.collection(name, { dim, metric })
        report(
          { name, dim: rows.dim, metric: rows.metric },
          `${name}: ${rows.dim} dimensions, ${rows.metric}`,
        )
      }),
    )
  program
    .command('import <database> <collection> <file>')
    .description('.npy, .fvecs, .bvecs, .jsonl or .csv; ids of the first three are row numbers')
    .option('--metric <metric>', 'for a collection that is not there yet')
    .option('--batch <rows>', 'rows that are written at once', integer, 1_000)
    .option('--resume', 'go on where an import of the same file was broken off')
    .option('--rejects <file>', 'where refused rows go (default: FILE.rejects.jsonl)')
    .option('--id-field <name>', 'of a .csv or .jsonl', 'id')
    .option('--vector-field <name>', 'of a .csv or .jsonl', 'vector')
    .action((where: string, name: string, file: string, options: Record<string, string & number>) =>
      withTarget(where, async target => {
        const bar = new SingleBar({
          format: `${name} {bar} {value}/{total} rows, {eta_formatted}`,
          stream: process.stderr,
          noTTYOutput: false,
        })
        const rejectsFile = options['rejects'] ?? `${file}.rejects.jsonl`
        const result = await importFile(file, {
          batchRows: options['batch']!,
          resume: options['resume'] !== undefined,
          rejectsFile,
          idField: options['idField']!,
          vectorField: options['vectorField']!,
          open: async dim => {
            const metric = options['metric'] as CollectionOptions['metric']
            return target.collection(name, { dim, ...(metric === undefined ? {} : { metric }) })
          },
          onProgress(done, total) {
            if (!bar.isActive) bar.start(total ?? done, 0)
            bar.setTotal(total ?? done)
            bar.update(done)
          },
        }).finally(() => bar.stop())
        const { written, rejected } = result
        const text =
          rejected > 0
            ? `${written} rows written, ${rejected} rejected: ${rejectsFile}`
            : `${written} rows written`
        report(result, text, rejected > 0 ? EXIT.rejects : EXIT.done)
      }),
    )
  program
    .command('export <database> <collection> <file>')
    .description('every row, as .jsonl')
    .action((where: string, name: string, file: string) =>
      withTarget(where, async target => {
        const rows = await target.collection(name)
        const stream = createWriteStream(file, { flags: 'wx' })
        let count = 0
        // 'wx': a file that exists is not written over.
        await once(stream, 'open')
        for await (const row of rows.scan()) {
          count++
          if (!stream.write(`${JSON.stringify(row, writable)}\n`)) await once(stream, 'drain')
        }
        stream.end()
        await once(stream, 'close')
        report({ rows: count }, `${count} rows`)
      }),
    )
  program
    .command('query <database> <collection> <vector>')
    .description('the nearest rows of a vector, in JSON: "[0.1, 0.2]"')
    .option('-k <number>', 'how many', integer, 10)
    .option('--probes <number>', 'buckets to scan', integer)
    .option('--ef <number>', 'beam width of the memtable', integer)
    .option('--payload', 'with payloads')
    .action((where: string, name: string, vector: string, options: object) =>
      withTarget(where, async target => {
        const hits = await (await target.collection(name)).search(jsonArgument(vector) as number[], options)
        const text = hits.map(
          ({ id, distance, payload }) =>
            `${label(id)}\t${distance}${payload ? `\t${JSON.stringify(payload)}` : ''}`,
        )
        report({ hits }, text.join('\n'))
      }),
    )
  program
    .command('get <database> <collection> <id>')
    .description('one row; the id is JSON (7, "seven") or plain text')
    .action((where: string, name: string, id: string) =>
      withTarget(where, async target => {
        const row = await (await target.collection(name)).get(
          /^-?\d+$|^"/.test(id) ? (jsonArgument(id) as Id) : id,
        )
        if (!row) throw new CliError('DRIFT_NO_POINT', `there is no row ${id}`)
        report(row)
      }),
    )
}

function addOperations(program: Command, report: Report): void {
  program
    .command('stats <database> [collection]')
    .description('rows, buckets, segments, bytes, log')
    .action((where: string, name?: string) =>
      withTarget(where, async target =>
        report(name === undefined ? await target.db.stats() : await (await target.collection(name)).stats()),
      ),
    )
  for (const [verb, description] of [
    ['flush', 'write rows that are only in the log to a segment'],
    ['maintain', 'bring rows and buckets together now'],
    ['compact', 'merge segments and give back the space of dead rows'],
  ] as const) {
    program
      .command(`${verb} <database> <collection>`)
      .description(description)
      .action((where: string, name: string) =>
        withTarget(where, async target =>
          report((await call(await target.collection(name), verb)) ?? {}, 'done'),
        ),
      )
  }
  program
    .command('drop <database> <collection>')
    .description('remove a collection and its rows for good')
    .action((where: string, name: string) =>
      withTarget(where, async target => {
        const dropped = await target.db.drop(name)
        report({ dropped }, dropped ? 'dropped' : `there is no collection ${name}`)
      }),
    )
  program
    .command('backup <database> <destination>')
    .description(
      "copy a database while it is in use: into a folder, or under a name in the server's backup folder",
    )
    .action((where: string, to: string) =>
      withTarget(where, async target =>
        report((await call(target.db, 'backup', to)) ?? {}, `backed up to ${to}`),
      ),
    )
  program
    .command('check <database>')
    .description('verify every file')
    .action((where: string) => withTarget(where, async target => report(await call(target.db, 'check'))))
  program
    .command('repair <folder>')
    .description('save what can be saved of a database that does not open')
    .action(async (folder: string) => report(await call(Drift, 'repair', folder)))
}

type Settings = Readonly<Record<string, unknown>>

/** Flag before environment before file before default; all of them through the option's own parser. */
function settings(command: Command): Settings {
  const file = command.opts()['config'] as string | undefined
  const fromFile =
    file === undefined ? {} : (jsonArgument(readFileSync(file, 'utf8')) as Record<string, unknown>)
  const known = new Set(command.options.map(option => option.attributeName()))
  for (const key of Object.keys(fromFile)) {
    if (!known.has(key))
      throw new CliError('DRIFT_UNKNOWN_OPTION', `${file}: there is no option '${key}'`, { option: key })
  }
  for (const option of command.options) {
    const name = option.attributeName()
    if (command.getOptionValueSource(name) === 'cli') continue
    const given =
      process.env[`DRIFT_${name.replace(/[A-Z]/g, upper => `_${upper}`).toUpperCase()}`] ?? fromFile[name]
    if (given === undefined) continue
    const flag = option.isBoolean() ? given === true || given === 'true' || given === '1' : String(given)
    const value = option.parseArg && typeof flag === 'string' ? option.parseArg(flag, undefined) : flag
    command.setOptionValueWithSource(name, value, 'env')
  }
  return command.opts()
}

function serveOptions(folder: string, options: Settings): ServeOptions {
  const { host, port, keys, tlsCert, tlsKey, insecurePlaintext, insecureNoKeys, backupFolder, logLevel } =
    options as Record<string, string> & { port: number; insecurePlaintext: boolean; insecureNoKeys: boolean }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CliError('DRIFT_OPTION', '--tls-cert and --tls-key come together')
  }
  return {
    db: folder,
    host: host!,
    port,
    logger: { level: logLevel! },
    ...(keys === undefined ? {} : { keys: jsonArgument(readFileSync(keys, 'utf8')) as ApiKey[] }),
    ...(tlsCert === undefined ? {} : { tls: { certFile: tlsCert, keyFile: tlsKey! } }),
    ...(insecurePlaintext ? { insecurePlaintext } : {}),
    ...(insecureNoKeys ? { insecureNoKeys } : {}),
    ...(backupFolder === undefined ? {} : { backupFolder }),
  }
}

function integer(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.')
  return Number(text)
}

function jsonArgument(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CliError('DRIFT_JSON', `${text.slice(0, 40)} is not JSON`)
  }
}

function label(id: Id): string {
  return typeof id === 'string' ? id : typeof id === 'bigint' ? `${id}n` : String(id)
}
