/** `bench`: what recall costs on the user's own rows. */
import { SingleBar } from 'cli-progress'
import { type Command, InvalidArgumentError } from 'commander'
import { counted, filterOption, integer, positive } from '../arguments.js'
import { bench } from '../bench/bench.js'
import type { Report } from '../output.js'
import { table } from '../table.js'
import { withTarget } from '../target.js'

interface BenchFlags {
  readonly k: number
  readonly queries: number
  readonly file?: string
  readonly recalls: readonly number[]
  readonly filter?: string
  readonly callers: number
  readonly seconds: number
  readonly seed: number
}

export function addBench(program: Command, report: Report): void {
  program
    .command('bench <database> <collection>')
    .summary('recall and speed on the rows that are there')
    .description(
      'recall against exact answers, and queries per second, p50 and p99, at several recall targets',
    )
    .option('-k <number>', 'neighbours', counted, 10)
    .option('--queries <number>', 'how many', counted, 200)
    .option('--file <file>', 'queries of a file (.npy, .fvecs, .jsonl, ...); default: rows of the collection')
    .option('--recalls <shares>', 'targets, with commas between', shares, [0.9, 0.95, 0.99])
    .option('--filter <json>', 'only rows whose payload matches (docs/filters.md)')
    .option('--callers <number>', 'searches that are under way at once', counted, 1)
    .option('--seconds <number>', 'of measuring, for each target', positive, 3)
    .option('--seed <number>', 'of the sample', integer, 1)
    .action((where: string, name: string, { filter, ...flags }: BenchFlags) =>
      withTarget(where, 'read', async target => {
        const bar = new SingleBar({
          format: `${name} {bar} {value}/{total} searches`,
          stream: process.stderr,
          noTTYOutput: false,
          barsize: 24,
          clearOnComplete: true,
        })
        const result = await bench(await target.collection(name), {
          ...flags,
          ...filterOption(filter),
          onProgress(done, total) {
            if (!bar.isActive) bar.start(total, done)
            bar.update(done)
          },
        }).finally(() => bar.stop())
        const lines = result.targets.map(({ target: asked, recall, plusMinus, qps, p50Ms, p99Ms }) => [
          asked === 1 ? 'exact' : String(asked),
          asked === 1 ? '1' : `${recall.toFixed(3)} ± ${plusMinus.toFixed(3)}`,
          String(Math.round(qps)),
          p50Ms.toFixed(2),
          p99Ms.toFixed(2),
        ])
        const { rows, dim, k, queries, callers } = result
        report(
          result,
          [
            `${rows} rows of ${dim} dimensions, ${queries} queries, k ${k}, ${callers} at once, ${target.remote ? 'over HTTP' : 'in this process'}`,
            '',
            ...table(['asked', `recall@${k}`, 'queries/s', 'p50 ms', 'p99 ms'], lines),
          ].join('\n'),
        )
      }),
    )
}

function shares(text: string): number[] {
  const values = text.split(',').map(Number)
  if (values.every(value => value > 0 && value <= 1)) return values.filter(value => value < 1)
  throw new InvalidArgumentError('expected shares above 0, to 1: 0.9,0.95.')
}
