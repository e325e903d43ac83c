/** `import` and `export`: rows from and to files, with a bar on a terminal. */
import type { CollectionOptions } from '@drift/client'
import { SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import { counted, filterOption, list } from '../arguments.js'
import { CliError, EXIT } from '../errors.js'
import { exportFile } from '../export.js'
import { assertImportable, importFile, type Reject } from '../import.js'
import type { Report } from '../output.js'
import type { SourceOptions } from '../source/source.js'
import { type Rows, type Target, withTarget } from '../target.js'

interface ImportFlags {
  readonly metric?: CollectionOptions['metric']
  readonly batch: number
  readonly resume?: boolean
  readonly rejects?: string
  readonly idField: string
  readonly vectorField: string
  readonly numberFields?: readonly string[]
  readonly ids?: string
}

interface ExportFlags {
  readonly filter?: string
  readonly resume?: boolean
}

export function addFiles(program: Command, report: Report): void {
  program
    .command('import <database> <collection> <file>')
    .summary('rows of a .npy, .fvecs, .bvecs, .jsonl, .csv or .arrow')
    .description(
      '.npy, .fvecs, .bvecs, .jsonl, .csv or .arrow; the collection is made when it is not there. Ctrl-C stops behind a whole batch',
    )
    .option('--metric <metric>', 'for a collection that is not there yet')
    .option('--batch <rows>', 'rows that are written at once', counted, 1_000)
    .option('--resume', 'go on where an import of the same file was broken off')
    .option('--rejects <file>', 'where refused rows go (default: FILE.rejects.jsonl)')
    .option('--id-field <name>', 'of a .csv, .jsonl or .arrow', 'id')
    .option('--vector-field <name>', 'of a .csv, .jsonl or .arrow', 'vector')
    .option('--number-fields <names>', 'columns of a .csv that hold numbers, with commas between', list)
    .option('--ids <file>', 'ids of a .npy, .fvecs or .bvecs, one in JSON a line; default: row numbers')
    .action(async (where: string, name: string, file: string, options: ImportFlags) => {
      await assertImportable(file, sourceOptions(options))
      await withTarget(where, 'create', target => importInto(target, where, name, file, options, report))
    })
  program
    .command('export <database> <collection> <file>')
    .summary('rows to a .jsonl, .csv, .npy, .fvecs, .bvecs or .arrow')
    .description(
      '.jsonl, .csv, .npy, .fvecs, .bvecs or .arrow; vectors alone go with their ids in FILE.ids.jsonl beside them. Ctrl-C stops behind a whole page, of an .arrow at once',
    )
    .option('--resume', 'go on where an export to the same file was broken off')
    .option('--filter <json>', 'only rows whose payload matches (docs/filters.md)')
    .action((where: string, name: string, file: string, flags: ExportFlags) =>
      withTarget(where, 'read', target => exportFrom(target, where, name, file, flags, report)),
    )
}

async function importInto(
  target: Target,
  where: string,
  name: string,
  file: string,
  options: ImportFlags,
  report: Report,
): Promise<void> {
  const { batch, metric, resume = false, rejects } = options
  const rejectsFile = rejects ?? `${file}.rejects.jsonl`
  const bar = progressBar(name)
  const result = await untilInterrupted(signal =>
    importFile(file, {
      ...sourceOptions(options),
      batchRows: batch,
      resume,
      rejectsFile,
      target: JSON.stringify([where, name]),
      signal,
      open: dim => openOrCreate(target, name, { dim, ...(metric === undefined ? {} : { metric }) }),
      onProgress({ rows, rejected, share }) {
        if (!bar.isActive) bar.start(rows, 0, { rejected: '' })
        bar.setTotal(share ? Math.max(rows, Math.round(rows / share)) : rows)
        bar.update(rows, { rejected: rejected > 0 ? `, ${rejected} rejected` : '' })
      },
    }),
  ).finally(() => bar.stop())
  const { written, rejected, skipped, stopped, firstRejects } = result
  const lines = [
    `${written} rows written${skipped > 0 ? `, ${skipped} had been before` : ''}`,
    ...(rejected > 0 ? [`${rejected} rejected: ${rejectsFile}`, ...firstRejects.map(rejectLine)] : []),
    ...(stopped ? ['stopped; the same command with --resume goes on'] : []),
  ]
  const { firstRejects: _, ...summary } = result
  report(
    rejected > 0 ? { ...summary, rejectsFile } : summary,
    lines.join('\n'),
    stopped ? EXIT.stopped : rejected > 0 ? EXIT.rejects : EXIT.done,
  )
}

function sourceOptions({ idField, vectorField, numberFields, ids }: ImportFlags): SourceOptions {
  return {
    idField,
    vectorField,
    ...(numberFields === undefined ? {} : { numberFields }),
    ...(ids === undefined ? {} : { idsFile: ids }),
  }
}

async function exportFrom(
  target: Target,
  where: string,
  name: string,
  file: string,
  { filter, resume = false }: ExportFlags,
  report: Report,
): Promise<void> {
  const rows = await target.collection(name)
  const selection = filterOption(filter)
  const bar = progressBar(name)
  bar.start(await rows.count(selection), 0, { rejected: '' })
  const result = await untilInterrupted(signal =>
    exportFile(rows, file, {
      ...selection,
      resume,
      target: JSON.stringify([where, name]),
      signal,
      onProgress: done => bar.update(done),
    }),
  ).finally(() => bar.stop())
  const before = result.skipped > 0 ? `, ${result.skipped} of them before` : ''
  const ids = result.idsFile === undefined ? '' : `; ids: ${result.idsFile}`
  const stopped = result.stopped ? '\nstopped; the same command with --resume goes on' : ''
  report(result, `${result.rows} rows${before}${ids}${stopped}`, result.stopped ? EXIT.stopped : EXIT.done)
}

/** @param work - is told by the signal to stop at the first Ctrl-C; the second one ends the process. */
async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  try {
    return await work(stop.signal)
  } finally {
    process.off('SIGINT', onSignal)
  }
}

function rejectLine({ number, line, reason }: Reject): string {
  return `  ${line === undefined ? `row ${number}` : `line ${line}`}: ${reason}`
}

/** A collection that is there is not created again: writing to it takes no right to create. */
async function openOrCreate(target: Target, name: string, options: CollectionOptions): Promise<Rows> {
  let rows: Rows
  try {
    rows = await target.collection(name)
  } catch (error) {
    if ((error as CliError).code !== 'DRIFT_NO_COLLECTION') throw error
    return target.collection(name, options)
  }
  for (const option of ['dim', 'metric'] as const) {
    if (options[option] === undefined || options[option] === rows[option]) continue
    throw new CliError(
      'DRIFT_COLLECTION_MISMATCH',
      `collection '${name}' has ${option} ${rows[option]}, ${option === 'dim' ? 'the file has' : 'not'} ${options[option]}`,
      { name, [option]: rows[option] },
    )
  }
  return rows
}

/** Draws nothing where stderr is no terminal. */
function progressBar(name: string): SingleBar {
  return new SingleBar({
    format: `${name} {bar} {percentage}% {value}/{total} rows, {eta_formatted}{rejected}`,
    stream: process.stderr,
    noTTYOutput: false,
    etaBuffer: 50,
    barsize: 24,
  })
}
