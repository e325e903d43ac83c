// The report of the bench in Markdown, from results.json and nothing else, with its plots beside it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pointOf, rateAt, valueAt } from './curve.js'
import { quantile } from './measure.js'
import { writePlots } from './plot.js'
import { type EngineResult, GROWTH, type Measurement, type SetResult } from './results.js'

/** The recalls that are asked of a sweep, by k. */
const RECALLS: Readonly<Record<string, readonly number[]>> = { 10: [0.9, 0.95, 0.99], 100: [0.95] }

/** Below, nothing was built. */
const MIN_BUILD_SECONDS = 0.01

/** Growth is told at this recall@10. */
const GROWTH_RECALL = 0.95

/** How queries are handed over: both are one query at a time, in one thread. */
const WAYS = [
  { key: 'calls', title: 'One call a query' },
  { key: 'oneCall', title: 'All queries in one call (the native loop)' },
] as const

type Way = (typeof WAYS)[number]['key']

export function writeReport(folder: string, results: readonly SetResult[]): void {
  const plots = writePlots(
    folder,
    results.filter(result => !isGrowth(result)),
  )
  writeFileSync(join(folder, 'README.md'), markdown(results, plots))
}

/** @param plots - file names of the plots of a data set. */
function markdown(results: readonly SetResult[], plots: Readonly<Record<string, readonly string[]>>): string {
  const parts = [
    '# The bench',
    'Written by `npm run bench`; the figures behind it are in [results.json](results.json).',
    [
      'How it is measured: every engine runs in a process of its own, bound to one core, in one thread. The engines are asked in turns (A B C, A B C), each pass',
      'warmed first; figures are the median of the passes and, in brackets, the lowest and the highest. Recall counts a hit whose exact distance is at most that of the',
      'true k-th neighbour, so ties are nobody\'s loss. Speed at a recall lies on the line between two settings of the sweep (logarithm of queries per second); "–" says',
      'that the sweep did not reach the recall. Compare columns of one table only: another minute of the same machine gives other figures.',
    ].join('\n'),
    ...results
      .filter(result => !isGrowth(result))
      .flatMap(result => sectionOf(result, plots[result.name] ?? [])),
    ...growthOf(results.filter(isGrowth)),
  ]
  return `${parts.join('\n\n')}\n`
}

function sectionOf(result: SetResult, plots: readonly string[]): string[] {
  const { name, rows, dim, queries, metric, machine, engines, absent, passes, buildThreads } = result
  const pinned = result.core === undefined ? 'not bound to a core' : `bound to core ${result.core}`
  return [
    `## ${name}`,
    `${whole(rows)} rows of ${dim} dimensions, ${whole(queries)} queries, ${metric}. ${passes} passes, ${pinned}, built by ${buildThreads} thread${buildThreads === 1 ? '' : 's'}.`,
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}, kernels ${machine.kernels}. Commit ${result.commit}, ${result.date.slice(0, 10)}.`,
    ...plots.map(plot => `![queries per second over recall, ${name}](${plot})`),
    ...Object.entries(RECALLS).flatMap(([k, recalls]) =>
      WAYS.flatMap(way => speeds(engines, k, recalls, way.key, `### ${way.title}, recall@${k}`)),
    ),
    '### Building, changing, memory',
    costs(engines, rows),
    ...scans(engines),
    '### Settings, and what they cannot do',
    [
      ...engines.map(engine =>
        `- **${engine.name}**: ${[engine.version, engine.configuration].filter(Boolean).join(', ')}. ${engine.limits}`.trim(),
      ),
      ...Object.entries(absent).map(([engine, why]) => `- **${engine}** did not take part: ${why}.`),
    ].join('\n'),
  ]
}

function speeds(
  engines: readonly EngineResult[],
  k: string,
  recalls: readonly number[],
  way: Way,
  title: string,
): string[] {
  const own = engines.filter(engine => engine.sweeps[k]?.some(point => point[way].length > 0))
  if (own.length === 0) return []
  const drift = own.find(engine => engine.name === 'drift')?.sweeps[k]
  const lines = own.map(({ name, sweeps }) => [
    name,
    ...recalls.map(recall => spread(byPass(sweeps[k]!, way, recall), whole)),
    ...(drift ? [recalls.map(recall => ratio(drift, sweeps[k]!, way, recall)).join(' / ')] : []),
  ])
  const titles = recalls.map(recall => `queries/s at ${recall.toFixed(2)}`)
  return [title, table(['engine', ...titles, ...(drift ? ['Drift is faster by'] : [])], lines)]
}

/** The median over the passes, in each of which both were asked. */
function ratio(own: readonly Measurement[], other: readonly Measurement[], way: Way, recall: number): string {
  const [mine, theirs] = [byPass(own, way, recall), byPass(other, way, recall)]
  if (mine === undefined || theirs === undefined) return '–'
  return quantile(
    mine.map((rate, pass) => rate / theirs[pass]!),
    0.5,
  ).toFixed(2)
}

/** Queries per second at a recall in each pass; undefined when the sweep did not reach it. */
function byPass(points: readonly Measurement[], way: Way, recall: number): number[] | undefined {
  const passes = points[0]?.[way].length ?? 0
  const rates = Array.from({ length: passes }, (_, pass) =>
    rateAt(
      points.map(point => ({ recall: point.recall, queriesPerSecond: point[way][pass]! })),
      recall,
    ),
  )
  return rates.length === 0 || rates.includes(undefined) ? undefined : (rates as number[])
}

function costs(engines: readonly EngineResult[], rows: number): string {
  const lines = engines.map(({ name, filled, churned }) => [
    name,
    filled.buildSeconds.toFixed(1),
    filled.buildSeconds < MIN_BUILD_SECONDS ? '–' : whole(rows / filled.buildSeconds),
    optional(churned.insertsPerSecond),
    optional(churned.removesPerSecond),
    `${whole(filled.memoryBytes / 2 ** 20)}`,
    whole(filled.memoryBytes / rows),
    optional(filled.diskBytes && filled.diskBytes / rows),
  ])
  const titles = [
    'build, s',
    'build, rows/s',
    'inserts/s',
    'deletes/s',
    'memory, MiB',
    'bytes/row',
    'on disk, bytes/row',
  ]
  return [
    table(['engine', ...titles], lines),
    'Inserts and deletes: single rows of a filled index in batches of 100, work left behind included; deletes after as many others, to warm up. Memory: growth of the resident set by the index, its input let go.',
  ].join('\n\n')
}

function isGrowth({ name }: SetResult): boolean {
  return name.startsWith(GROWTH)
}

/** By rising rows, each row of the table a number of dimensions and an engine. */
function growthOf(results: readonly SetResult[]): string[] {
  if (results.length === 0) return []
  const lines = results
    .toSorted((a, b) => a.dim - b.dim || a.rows - b.rows)
    .flatMap(({ rows, dim, commit, engines }) =>
      engines.map(({ name, sweeps }) => [
        name,
        `${dim}`,
        whole(rows),
        spread(byPass(sweeps['10']!, 'calls', GROWTH_RECALL), whole),
        optional(scannedAt(sweeps['10']!, GROWTH_RECALL)),
        commit,
      ]),
    )
  const titles = [
    'engine',
    'dimensions',
    'rows',
    `queries/s at recall@10 ${GROWTH_RECALL}`,
    'rows scanned',
    'commit',
  ]
  return ['## Growth', 'One generator, the same queries, more rows.', table(titles, lines)]
}

/** Rows looked at, where an engine tells. */
function scans(engines: readonly EngineResult[]): string[] {
  return engines.flatMap(({ name, sweeps }) => {
    const at = RECALLS['10']!.map(
      recall => `${optional(scannedAt(sweeps['10'] ?? [], recall))} at ${recall.toFixed(2)}`,
    )
    const told = sweeps['10']?.some(point => point.scannedRows !== undefined)
    return told ? [`Rows that ${name} scans for recall@10: ${at.join(', ')}.`] : []
  })
}

function scannedAt(points: readonly Measurement[], recall: number): number | undefined {
  const told = points.flatMap(point =>
    point.scannedRows === undefined ? [] : [{ ...pointOf(point), scannedRows: point.scannedRows }],
  )
  return valueAt(told, recall, point => point.scannedRows)
}

/** The median and, in brackets, the ends. */
function spread(values: readonly number[] | undefined, text: (value: number) => string): string {
  if (values === undefined) return '–'
  return `${text(quantile(values, 0.5))} [${text(Math.min(...values))}–${text(Math.max(...values))}]`
}

function optional(value: number | undefined): string {
  return value === undefined ? '–' : whole(value)
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ')
}

function table(titles: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [row(titles), row(titles.map((_, i) => (i === 0 ? '---' : '---:'))), ...lines.map(row)].join('\n')
}
