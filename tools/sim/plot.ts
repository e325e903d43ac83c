// Plots of a run over its steps: recall, rows scanned, latency, moves, bytes; drawn as those of the bench (ADR 9), and as there
// without the library there are none.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../bench/peers.js'
import { type Charts, COLOURS, drawSvg } from '../bench/plot.js'
import type { EngineRun, RunResult, StepResult } from './run.js'

const PANELS: readonly { title: string; of: (step: StepResult, target: number) => number; log?: boolean }[] =
  [
    { title: 'recall', of: (step, target) => step.recalls[target]! },
    { title: 'rows scanned a query', of: step => step.rows },
    { title: 'p50 us', of: step => step.p50Us },
    { title: 'p99 us', of: step => step.p99Us },
    { title: 'moves per updated row', of: step => (step.written === 0 ? 0 : step.moves / step.written) },
    { title: 'kB written by maintenance', of: step => step.bytes / 1024 },
  ]

const COLUMNS = 2
const PANEL = { width: 560, height: 260 }

/** @returns file names in `folder`. */
export function plotRun(folder: string, result: RunResult): string[] {
  const charts = requirePeer<Charts>('echarts')
  if (!charts) return []
  const file = `${result.runbook}-${result.seed}.svg`
  const rows = Math.ceil(PANELS.length / COLUMNS)
  const size = { width: COLUMNS * PANEL.width, height: rows * PANEL.height + 80 }
  writeFileSync(join(folder, file), `${drawSvg(charts, size, option(result))}\n`)
  return [file]
}

function option(result: RunResult): object {
  const engines = result.engines.filter(engine => engine.steps.length > 0)
  const phases = engines[0]?.steps.map(step => step.phase) ?? []
  const at = (panel: number) => ({ column: panel % COLUMNS, row: Math.floor(panel / COLUMNS) })
  return {
    animation: false,
    backgroundColor: '#ffffff',
    title: [
      { text: `${result.runbook}, recall ${result.target} asked`, left: 'center' },
      ...PANELS.map(({ title }, panel) => ({
        text: title,
        textStyle: { fontSize: 13, fontWeight: 'normal' },
        left: at(panel).column * PANEL.width + 60,
        top: at(panel).row * PANEL.height + 40,
      })),
    ],
    legend: { bottom: 0, data: engines.map(engine => engine.name) },
    grid: PANELS.map((_, panel) => ({
      left: at(panel).column * PANEL.width + 70,
      top: at(panel).row * PANEL.height + 70,
      width: PANEL.width - 100,
      height: PANEL.height - 90,
    })),
    xAxis: PANELS.map((_, panel) => ({
      type: 'category',
      gridIndex: panel,
      data: phases,
      axisLabel: { fontSize: 9 },
    })),
    yAxis: PANELS.map((_, panel) => ({ type: 'value', gridIndex: panel, scale: true })),
    series: PANELS.flatMap(({ of }, panel) =>
      engines.map((engine, e) => line(engine, e, panel, of, result.target)),
    ),
  }
}

function line(
  { name, steps }: EngineRun,
  engine: number,
  panel: number,
  of: (step: StepResult, target: number) => number,
  target: number,
): object {
  const color = COLOURS[engine % COLOURS.length]
  const data = steps.map(step => {
    const value = of(step, target)
    return Number.isFinite(value) ? Number(value.toPrecision(5)) : null
  })
  const width = engine === 0 ? 3 : 1.5
  return {
    name,
    type: 'line',
    xAxisIndex: panel,
    yAxisIndex: panel,
    data,
    color,
    lineStyle: { width },
    symbolSize: 4,
  }
}
