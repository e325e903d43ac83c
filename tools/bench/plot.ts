// Plots of queries per second over recall, one file for each data set and k, drawn by ECharts without a browser (ADR 9).
// Without the library, which comes with the peers, there are no plots and the report has only its tables.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { front, pointOf } from './curve.js'
import { requirePeer } from './peers.js'
import type { EngineResult, SetResult } from './results.js'

export interface Charts {
  init(
    element: null,
    theme: null,
    options: Readonly<Record<string, unknown>>,
  ): { setOption(option: object): void; renderToSVGString(): string; dispose(): void }
}

const SIZE = { width: 900, height: 560 }
const LOWEST_RECALL = 0.85

/** Drift's own colour, which no peer has. */
const DRIFT = '#d6336c'
const PEERS = [
  '#1971c2',
  '#2f9e44',
  '#e8590c',
  '#6741d9',
  '#0c8599',
  '#846358',
  '#868e96',
  '#f08c00',
  '#66a80f',
  '#15aabf',
]

/** @returns the file names of each data set. */
export function writePlots(
  folder: string,
  results: readonly SetResult[],
): Readonly<Record<string, readonly string[]>> {
  const charts = requirePeer<Charts>('echarts')
  if (!charts) return {}
  const plots: Record<string, string[]> = {}
  for (const { name, engines } of results) {
    const ks = new Set(engines.flatMap(engine => Object.keys(engine.sweeps)))
    plots[name] = [...ks].map(k => {
      const file = `${name.replace(':', '-')}-recall${k}.svg`
      writeFileSync(join(folder, file), `${svg(charts, `${name}, recall@${k}`, engines, k)}\n`)
      return file
    })
  }
  return plots
}

/** Drift's own colour first. */
export const COLOURS: readonly string[] = [DRIFT, ...PEERS]

export function drawSvg(
  charts: Charts,
  size: { readonly width: number; readonly height: number },
  option: object,
): string {
  const chart = charts.init(null, null, { renderer: 'svg', ssr: true, ...size })
  chart.setOption(option)
  const drawn = chart.renderToSVGString()
  chart.dispose()
  return drawn
}

function svg(charts: Charts, title: string, engines: readonly EngineResult[], k: string): string {
  const lines = engines.flatMap((engine, e) => {
    const data = front((engine.sweeps[k] ?? []).map(pointOf))
      .filter(point => point.recall >= LOWEST_RECALL)
      .map(point => [point.recall, Math.round(point.queriesPerSecond)])
    const color = engine.name === 'drift' ? DRIFT : PEERS[e % PEERS.length]!
    const width = engine.name === 'drift' ? 4 : 1.5
    return data.length === 0
      ? []
      : [{ name: engine.name, type: 'line', data, color, lineStyle: { width }, symbolSize: width + 3 }]
  })
  return drawSvg(charts, SIZE, {
    animation: false,
    backgroundColor: '#ffffff',
    title: { text: title, left: 'center' },
    legend: { bottom: 0 },
    grid: { top: 50, left: 80, right: 30, bottom: 110 },
    xAxis: {
      type: 'value',
      min: LOWEST_RECALL,
      max: 1,
      interval: 0.05,
      name: 'recall',
      nameLocation: 'middle',
      nameGap: 28,
    },
    yAxis: { type: 'log', name: 'queries a second, one call a query', nameLocation: 'middle', nameGap: 60 },
    series: lines,
  })
}
