/** `serve` and `key`: a database behind HTTP, with one list of options for flags, environment and file. */
import { once } from 'node:events'
import type { ApiKey, DriftServer, ServeOptions } from '@drift/http'
import type { OpenOptions, RecoveryReport } from '@drift/server'
import { type Command, InvalidArgumentError } from 'commander'
import { integer, list, milliseconds, number, seconds } from '../arguments.js'
import { CliError, EXIT } from '../errors.js'
import { json, jsonFile } from '../json.js'
import type { Report } from '../output.js'
import { settings } from '../settings.js'

const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export function addServe(program: Command, report: Report): void {
  const command = program
    .command('serve <folder>')
    .summary('serve a database over HTTP')
    .description(
      'serve a database over HTTP; each option also as DRIFT_<OPTION> in the environment or in a file (--config); flags win over the environment, that over the file',
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
    .option('--hosts <names>', 'names that are answered in the Host header, with commas between', list)
    .option('--origins <origins>', 'whose pages may call from a browser, with commas between', list)
    .option('--backup-folder <folder>', 'backups are made below it')
    .option('--limits <json>', 'limits of requests (docs/http.md): {"rows":1000}', text =>
      json(text, '--limits'),
    )
    .option('--timeouts <json>', 'of connections, in milliseconds: {"requestMs":60000}', text =>
      json(text, '--timeouts'),
    )
    .option(
      '--sync <mode>',
      'when a write is acknowledged: always, os, or a number of milliseconds',
      'always',
    )
    .option('--maintenance <mode>', 'background, manual or off', 'background')
    .option(
      '--max-search-wait-ms <ms>',
      'that one search in a hundred may wait; while more do, maintenance rests; Infinity: never',
      milliseconds,
    )
    .option('--shadow <share>', 'of the searches that are also answered exactly, to measure recall', number)
    .option('--threads <number>', 'that scan and heal beside the one that serves', integer)
    .option('--page-cache-bytes <bytes>', "memory for vectors of collections with cold: 'disk'", integer)
    .option('--min-free-bytes <bytes>', 'free room on the disk below which writes are refused', integer)
    .option('--grace <seconds>', 'for requests under way when it is told to stop', seconds, 20)
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent', logLevel, 'info')
  command.action(async (folder: string) => {
    const options = settings(command)
    const server = await untilStopped(async signal => {
      // Loaded where it is needed: the other commands start in half the time without it.
      const { closeOnSignals, serve } = await import('@drift/http')
      const server = await serve(serveOptions(folder, options, signal))
      const close = (): Promise<void> => server.close({ graceMs: (options['grace'] as number) * 1000 })
      return { server, closeFromNowOn: () => closeOnSignals({ ...server, close }) }
    })
    if (!server) return
    const { collections, wal } = await server.db.stats()
    const opened = {
      url: server.url,
      folder,
      collections: collections.map(({ name, dim, rows }) => ({ name, dim, rows })),
      recovery: server.db.recovery,
      durableLsn: wal.durableLsn,
      secured: { keys: options['keys'] !== undefined, tls: options['tlsCert'] !== undefined },
    }
    const names = collections.map(({ name, dim, rows }) => `\n    ${name}: ${rows} rows of ${dim} dimensions`)
    report(
      opened,
      [
        `drift listens on ${server.url}, ${options['keys'] === undefined ? 'without keys' : 'with keys'}`,
        `  opened ${folder}:${collections.length === 0 ? ' no collections yet' : names.join('')}`,
        `  ${recovered(server.db.recovery)}; the last write is lsn ${wal.durableLsn}`,
      ].join('\n'),
    )
    await once(process, 'exit')
  })
  program
    .command('key')
    .description('make an API key: the key for the caller, its hash for the keys file')
    .action(async () => {
      const { createKey } = await import('@drift/http')
      const made = createKey()
      report(made, `key   ${made.key}\nhash  ${made.hash}`)
    })
}

/**
 * @param start - is told by the signal to give up on SIGTERM or SIGINT, which nothing else hears while a long log is read: the first process
 * of a container has no default for them. The second one ends the process. What it gives hears the signals afterwards.
 * @returns undefined when it was told so; nothing is open then.
 */
async function untilStopped(
  start: (signal: AbortSignal) => Promise<{ server: DriftServer; closeFromNowOn: () => void }>,
): Promise<DriftServer | undefined> {
  const stop = new AbortController()
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(EXIT.failed)
    stop.abort()
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  try {
    const { server, closeFromNowOn } = await start(stop.signal)
    if (stop.signal.aborted) {
      await server.close()
      return undefined
    }
    // Before the listener here goes: a signal that has come and was not told yet would go with the last one.
    closeFromNowOn()
    return server
  } catch (error) {
    if (error !== stop.signal.reason) throw error
    return undefined
  } finally {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal)
  }
}

function logLevel(text: string): string {
  if (LEVELS.includes(text)) return text
  throw new InvalidArgumentError(`expected one of ${LEVELS.join(', ')}.`)
}

function recovered({ clean, replayedRecords, replayedBytes, torn, losses }: RecoveryReport): string {
  if (clean && replayedRecords === 0) return 'nothing was to be recovered'
  const how = clean ? 'it had been closed' : 'it had not been closed'
  const cut = torn ? ', one write that was not acknowledged was cut off' : ''
  const lost = losses.length > 0 ? `, ${losses.length} losses: see \`drift check\`` : ''
  return `${how}: recovered ${replayedRecords} records (${replayedBytes} bytes) from the log${cut}${lost}`
}

type Given = {
  readonly [name in 'host' | 'keys' | 'tlsCert' | 'tlsKey' | 'backupFolder' | 'logLevel' | 'sync']?: string
} & {
  readonly port: number
  readonly insecurePlaintext?: boolean
  readonly insecureNoKeys?: boolean
  readonly hosts?: readonly string[]
  readonly origins?: readonly string[]
  readonly limits?: object
  readonly timeouts?: NonNullable<ServeOptions['timeouts']>
}

function serveOptions(
  folder: string,
  options: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): ServeOptions {
  const { host, port, keys, tlsCert, tlsKey, insecurePlaintext, insecureNoKeys, hosts, origins, limits } =
    options as unknown as Given
  const { backupFolder, logLevel, sync, timeouts } = options as unknown as Given
  const { maintenance, maxSearchWaitMs, shadow, threads, pageCacheBytes, minFreeBytes } =
    options as OpenOptions
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CliError('DRIFT_OPTION', '--tls-cert and --tls-key come together')
  }
  return {
    db: folder,
    host: host!,
    port,
    // Stdout has the report.
    logger: { level: logLevel!, stream: process.stderr },
    open: {
      signal,
      ...defined({ maintenance, maxSearchWaitMs, shadow, threads, pageCacheBytes, minFreeBytes }),
      sync: syncMode(sync!),
    },
    ...(keys === undefined ? {} : { keys: jsonFile(keys) as ApiKey[] }),
    ...(tlsCert === undefined ? {} : { tls: { certFile: tlsCert, keyFile: tlsKey! } }),
    ...(insecurePlaintext ? { insecurePlaintext } : {}),
    ...(insecureNoKeys ? { insecureNoKeys } : {}),
    ...defined({ backupFolder, hosts, origins, limits, timeouts }),
  }
}

function syncMode(text: string): NonNullable<OpenOptions['sync']> {
  // What is neither is left for the engine to refuse.
  return /^\d+$/.test(text) ? { intervalMs: Number(text) } : (text as 'always')
}

function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
