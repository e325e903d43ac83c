/** `create`, `query`, `get`, `count`: a collection and what is in it. */
import type { CollectionOptions } from '@drift/client'
import type { Command } from 'commander'
import { filterOption, idArgument, integer, label, number, positive } from '../arguments.js'
import { CliError } from '../errors.js'
import { json } from '../json.js'
import type { Report } from '../output.js'
import { withTarget } from '../target.js'

interface QueryOptions {
  readonly k: number
  readonly recall?: number
  readonly probes?: number
  readonly ef?: number
  readonly radius?: number
  readonly filter?: string
  readonly payload?: boolean
}

/** `metric`, `cold` and `quantizer` are checked by the engine. */
interface CreateOptions {
  readonly dim: number
  readonly metric?: 'l2'
  readonly cold?: 'disk'
  readonly quantizer?: 'sign'
  readonly indexes?: string
}

export function addRows(program: Command, report: Report): void {
  program
    .command('create <database> <collection>')
    .description('create a collection, or check that the one of this name agrees')
    .requiredOption('--dim <number>', 'values per vector', integer)
    .option('--metric <metric>', 'cosine, l2 or ip; default: cosine')
    .option('--indexes <json>', 'payload indexes: {"lang":"keyword","time":"number"}')
    .option('--cold <where>', 'resident, or disk: exact vectors are on disk only; default: resident')
    .option('--quantizer <mode>', 'auto, sign, sq8 or pq: what a search reads of a row first; default: auto')
    .action((where: string, name: string, { indexes, ...given }: CreateOptions) =>
      withTarget(where, 'create', async target => {
        const rows = await target.collection(name, {
          ...given,
          ...(indexes === undefined
            ? {}
            : { indexes: json(indexes, '--indexes') as NonNullable<CollectionOptions['indexes']> }),
        })
        report(
          { name, dim: rows.dim, metric: rows.metric },
          `${name}: ${rows.dim} dimensions, ${rows.metric}`,
        )
      }),
    )
  program
    .command('query <database> <collection> <vector>')
    .description('the nearest rows of a vector, in JSON: "[0.1, 0.2]"; or of a row: "id:seven", "id:7"')
    .option('-k <number>', 'how many', integer, 10)
    .option('--recall <share>', 'of the nearest that should be found, above 0 to 1', positive)
    .option('--filter <json>', 'only rows whose payload matches (docs/filters.md)')
    .option('--radius <distance>', 'only rows at most this far', number)
    .option('--probes <number>', 'buckets to scan, in place of --recall', integer)
    .option('--ef <number>', 'beam width of the memtable', integer)
    .option('--payload', 'with payloads')
    .action((where: string, name: string, vector: string, { filter, ...options }: QueryOptions) =>
      withTarget(where, 'read', async target => {
        const rows = await target.collection(name)
        const query = vector.startsWith('id:')
          ? (await rows.get(idArgument(vector.slice(3))))?.vector
          : vectorArgument(vector)
        if (!query) throw noRow(vector.slice(3))
        const hits = await rows.search(query, { ...options, ...filterOption(filter) })
        const text = hits.map(
          ({ id, distance, payload }) =>
            `${label(id)}\t${distance}${payload ? `\t${JSON.stringify(payload)}` : ''}`,
        )
        report({ hits }, text.join('\n'))
      }),
    )
  program
    .command('get <database> <collection> <id>')
    .description('one row; the id is 7, "7", 7n or plain text')
    .action((where: string, name: string, id: string) =>
      withTarget(where, 'read', async target => {
        const row = await (await target.collection(name)).get(idArgument(id))
        if (!row) throw noRow(id)
        report(row)
      }),
    )
  program
    .command('count <database> <collection>')
    .description('how many rows there are, or match a filter')
    .option('--filter <json>', 'only rows whose payload matches (docs/filters.md)')
    .action((where: string, name: string, { filter }: { filter?: string }) =>
      withTarget(where, 'read', async target => {
        const count = await (await target.collection(name)).count(filterOption(filter))
        report({ count }, String(count))
      }),
    )
}

function vectorArgument(text: string): number[] {
  if (text.trimStart().startsWith('[')) return json(text, 'the vector') as number[]
  throw new CliError(
    'DRIFT_OPTION',
    `the vector is '${text.slice(0, 40)}', expected "[0.1, 0.2]", or a row as "id:7"`,
  )
}

function noRow(id: string): CliError {
  return new CliError('DRIFT_NO_POINT', `there is no row ${id}; 7 and "7" are two ids`)
}
