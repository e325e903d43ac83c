// Runs as people read them: a line per search step while it runs, and tables in Markdown. Rule: every cell is shown, misses too.
import { type Cell, gates, mean, median, passes } from './gates.js'
import { type RunResult, type StepResult, TARGETS } from './run.js'

const HEAD = [
  'engine',
  'step',
  'live',
  ...TARGETS.map(target => `r@${target}`),
  'rows',
  'buckets',
  'p50 us',
  'p99 us',
  'moves/upd',
  'kB',
  'maint ms',
  '/fresh',
]
const WIDTHS = [10, 16, 8, 7, 7, 7, 8, 8, 8, 8, 10, 8, 9, 7]

export function liveHead(): string {
  return HEAD.map((cell, i) => pad(cell, i)).join('')
}

export function liveLine(engine: string, step: StepResult): string {
  return cellsOf(engine, step)
    .map((cell, i) => pad(cell, i))
    .join('')
}

function pad(cell: string, column: number): string {
  const width = WIDTHS[column]!
  return column < 2 ? cell.slice(0, width).padEnd(width + 1) : cell.padStart(width)
}

function cellsOf(engine: string, step: StepResult): string[] {
  const perUpdate = step.written === 0 ? 0 : step.moves / step.written
  return [
    engine,
    step.phase,
    String(step.live),
    ...TARGETS.map(target => step.recalls[target]!.toFixed(3)),
    step.rows.toFixed(0),
    step.buckets.toFixed(1),
    number(step.p50Us, 0),
    number(step.p99Us, 0),
    perUpdate.toFixed(2),
    (step.bytes / 1024).toFixed(0),
    step.maintenanceMs.toFixed(0),
    number(step.overFresh?.['0.95'], 2),
  ]
}

/** @param command - that makes the same figures again. @param plots - file names beside the report. */
export function markdown(results: readonly RunResult[], command: string, plots: readonly string[]): string {
  const seeds = new Set(results.map(result => result.seed))
  return [
    `Made by \`${command}\`; seeds ${[...seeds].join(', ')}; recall@${results[0]?.k}.`,
    '',
    '## Gates',
    '',
    gateTable(results),
    ...results.flatMap(result => ['', ...section(result, plots)]),
    '',
  ].join('\n')
}

/** A row per runbook and gate, the median over the seeds. */
export function gateTable(results: readonly RunResult[]): string {
  const cells = medianCells(results)
  const missed = cells.filter(({ cell }) => !passes(cell)).length
  return [
    `${cells.length - missed} of ${cells.length} cells pass.`,
    '',
    row(['runbook', 'gate', 'value', 'bound', '']),
    row(['---', '---', '--:', '--:', '---']),
    ...cells.map(({ runbook, cell }) =>
      row([
        runbook,
        cell.gate,
        number(cell.value, 3),
        `${cell.side} ${number(cell.bound, 3)}`,
        passes(cell) ? 'pass' : '**miss**',
      ]),
    ),
  ].join('\n')
}

export function medianCells(results: readonly RunResult[]): { runbook: string; cell: Cell }[] {
  const books = [...new Set(results.map(result => result.runbook))]
  return books.flatMap(runbook => {
    const all = results.filter(result => result.runbook === runbook).map(gates)
    return all[0]!.map(cell => {
      const values = all.flatMap(cells => cells.find(other => other.gate === cell.gate)?.value ?? [])
      return { runbook, cell: { ...cell, value: values.length < all.length ? undefined : median(values) } }
    })
  })
}

function section(result: RunResult, plots: readonly string[]): string[] {
  const { runbook, about, seed, engines } = result
  const steps = engines.flatMap(({ name, steps }) => steps.map(step => ({ name, step })))
  const costs = engines.flatMap(({ name, costs }) =>
    Object.entries(costs).map(([rule, at]) => ({ name, rule, at })),
  )
  return [
    `## ${runbook}, seed ${seed}`,
    '',
    `${about[0]!.toUpperCase()}${about.slice(1)}.`,
    '',
    ...plots
      .filter(plot => plot.startsWith(`${runbook}-${seed}`))
      .map(plot => `![${plot.replace('.svg', '')}](${plot})`),
    '',
    row(HEAD),
    row(HEAD.map((_, i) => (i < 2 ? '---' : '--:'))),
    ...steps.map(({ name, step }) => row(cellsOf(name, step))),
    '',
    'Rows scanned (buckets) at a recall, one knob for the run:',
    '',
    row(['engine', 'stop rule', ...TARGETS.map(String)]),
    row(['---', '---', '--:', '--:', '--:']),
    ...costs.map(({ name, rule, at }) =>
      row([
        name,
        rule,
        ...TARGETS.map(target =>
          at[target] ? `${at[target].rows.toFixed(0)} (${at[target].buckets.toFixed(0)})` : '–',
        ),
      ]),
    ),
  ]
}

/** One line for each engine of a run: what stays of it. */
export function summary({ engines }: RunResult): string[] {
  return engines
    .filter(engine => engine.steps.length > 0)
    .map(({ name, steps }) => {
      const recalls = TARGETS.map(target => mean(steps.map(step => step.recalls[target]!)).toFixed(3)).join(
        ' / ',
      )
      return `${name}: mean recall ${recalls}, ${mean(steps.map(step => step.rows)).toFixed(0)} rows a query`
    })
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function number(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(digits)
}
