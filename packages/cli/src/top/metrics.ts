/** Prometheus text, as /metrics writes it, read back: samples by name, and quantiles of what a histogram gained. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type Samples = ReadonlyMap<string, readonly Sample[]>

export function parseMetrics(text: string): Samples {
  const samples = new Map<string, Sample[]>()
  for (const line of text.split('\n')) {
    const parts = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line)
    if (!parts) continue
    const [, name, labelText = '', value] = parts as unknown as [string, string, string | undefined, string]
    const labels: Record<string, string> = {}
    for (const [, label, quoted] of labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[label!] = quoted!.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
    const list = samples.get(name)
    const sample = { labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) }
    if (list) list.push(sample)
    else samples.set(name, [sample])
  }
  return samples
}

export function gaugeOf(samples: Samples, name: string): number | undefined {
  return samples.get(name)?.[0]?.value
}

export interface Rate {
  /** Of a second. */
  readonly perSecond: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
}

/** What a histogram gained between two readings, those of its series that `wanted` takes. */
export function rateOf(
  [before, now]: readonly [Samples | undefined, Samples],
  name: string,
  seconds: number,
  wanted: (labels: Sample['labels']) => boolean,
): Rate {
  const cumulative = new Map<number, number>()
  for (const [samples, sign] of [
    [before, -1],
    [now, 1],
  ] as const) {
    for (const { labels, value } of samples?.get(`${name}_bucket`) ?? []) {
      if (!wanted(labels)) continue
      const upTo = labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le'])
      cumulative.set(upTo, (cumulative.get(upTo) ?? 0) + sign * value)
    }
  }
  const bounds = [...cumulative].sort(([a], [b]) => a - b)
  const total = bounds.at(-1)?.[1] ?? 0
  return {
    perSecond: total / seconds,
    p50Ms: quantile(bounds, total, 0.5),
    p99Ms: quantile(bounds, total, 0.99),
  }
}

/** Between the bounds of its bucket by proportion, as Prometheus does. @returns milliseconds */
function quantile(
  bounds: readonly (readonly [number, number])[],
  total: number,
  share: number,
): number | undefined {
  if (total <= 0) return undefined
  const wanted = share * total
  let [from, below] = [0, 0]
  for (const [upTo, count] of bounds) {
    if (count >= wanted) {
      if (upTo === Number.POSITIVE_INFINITY) return from * 1000
      return (from + ((upTo - from) * (wanted - below)) / Math.max(1e-9, count - below)) * 1000
    }
    from = upTo
    below = count
  }
  return from * 1000
}
