// Proves: `bench` measures recall against exact answers, `top` shows a server and a folder and gives the terminal back,
// the completions are scripts that shells take and that name every command.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { serve } from '@drift/http'
import { Drift } from '@drift/server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EXIT } from '../src/index.js'
import { parseMetrics, rateOf } from '../src/top/metrics.js'
import { bytes } from '../src/top/view.js'
import { drift, file, folder, program } from './fixture.js'

const ROWS = 2_000
const DIM = 16

/** Seeded, so that a failure comes again. */
function vectors(rows: number): Float32Array {
  let state = 7
  return Float32Array.from({ length: rows * DIM }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 2 ** 32 - 0.5
  })
}

const path = join(folder, 'db-watched')
const made = (async () => {
  await using db = await Drift.open(path)
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1_000 })
  const ids = Array.from({ length: ROWS }, (_, id) => id)
  await docs.upsert({ ids, vectors: vectors(ROWS), payloads: ids.map(id => ({ even: id % 2 === 0 })) })
  await docs.flush()
  await docs.maintain()
})()

describe('bench', () => {
  interface Result {
    readonly rows: number
    readonly queries: number
    readonly targets: readonly {
      readonly target: number
      readonly recall: number
      readonly qps: number
      readonly p50Ms: number
      readonly p99Ms: number
    }[]
  }
  const args = ['bench', path, 'docs', '--queries', '40', '--seconds', '0.2', '--recalls', '0.5,0.95']

  it('tells the recall at each target, and exact answers are exact', async () => {
    await made
    const { targets, rows, queries } = (await drift(...args, '--json')).json as Result
    expect([rows, queries, targets.map(({ target }) => target)]).toEqual([ROWS, 40, [0.5, 0.95, 1]])
    expect(targets[2]!.recall).toBe(1)
    // What was asked for is the mean over all queries; these are 40 of them.
    expect(targets[0]!.recall).toBeGreaterThan(0.4)
    expect(targets[1]!.recall).toBeGreaterThan(0.88)
    for (const { qps, p50Ms, p99Ms } of targets)
      expect([qps > 0, p50Ms > 0, p99Ms >= p50Ms]).toEqual([true, true, true])
  })

  it('takes rows that match a filter, and queries of a file', async () => {
    await made
    const filtered = (await drift(...args, '--filter', '{"even":true}', '--json')).json as Result
    expect(filtered.rows).toBe(ROWS / 2)
    const queries = join(folder, 'queries.npy')
    await drift('export', path, 'docs', queries, '--filter', '{"even":true}')
    const { code, out } = await drift(...args, '--file', queries, '--callers', '2')
    expect([code, out]).toEqual([
      EXIT.done,
      expect.stringMatching(/40 queries, k 10, 2 at once, in this process/),
    ])
    expect(out).toMatch(/^exact +1 /m)
  })

  it('says what is wrong with its arguments, and that an empty collection has no queries', async () => {
    await made
    expect((await drift('bench', path, 'docs', '--recalls', '0.9,2')).code).toBe(EXIT.usage)
    await drift('create', join(folder, 'db-empty'), 'docs', '--dim', '2')
    expect((await drift('bench', join(folder, 'db-empty'), 'docs')).err).toMatch(/^DRIFT_BENCH/)
  })
})

describe('top', () => {
  it('shows a folder beside its writer, and a server with what it does', async () => {
    await made
    expect((await drift('top', path, '--once', '--json')).json).toMatchObject({
      state: 'read-only',
      collections: [{ name: 'docs', rows: ROWS, unflushedRows: 0 }],
    })
    const server = await serve({ db: path, port: 0, logger: false })
    onTestFinished(() => server.close())
    await drift('query', server.url, 'docs', 'id:7')
    const { json } = await drift('top', server.url, '--json')
    expect(json).toMatchObject({
      state: 'open',
      collections: [{ name: 'docs', rows: ROWS }],
      requests: { search: { perSecond: expect.any(Number), p50Ms: expect.any(Number) } },
      process: { residentBytes: expect.any(Number) },
    })
    expect(
      (json as { requests: { search: { perSecond: number } } }).requests.search.perSecond,
    ).toBeGreaterThan(0)
    const { out } = await drift('top', server.url, '--once')
    expect(out).toContain(server.url)
    expect(out).toMatch(/^docs +2 000 /m)
  })

  // util-linux has a terminal for it; where there is none, the view itself is tested above.
  const hasTerminal = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0
  it.runIf(hasTerminal)('draws until q, and gives the terminal back', async () => {
    await made
    const line = [process.execPath, program, 'top', path, '--interval', '0.1'].join(' ')
    const child = spawn('script', ['-qec', `stty rows 30 cols 120; ${line}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let drawn = ''
    child.stdout.on('data', (data: Buffer) => {
      drawn += String(data)
    })
    await expect.poll(() => drawn, { timeout: 30_000 }).toContain('q ends')
    child.stdin.write('q')
    expect((await once(child, 'exit'))[0]).toBe(EXIT.done)
    const [enter, leave, show] = ['\u001b[?1049h', '\u001b[?1049l', '\u001b[?25h']
    expect([drawn.indexOf(enter) >= 0, drawn.indexOf(leave) > drawn.indexOf('docs')]).toEqual([true, true])
    expect(drawn.lastIndexOf(show)).toBeGreaterThan(drawn.lastIndexOf('\u001b[?25l'))
  })

  it('reads metrics back: labels with quotes, and quantiles of what was added', () => {
    const text = (counts: readonly number[]): string =>
      [0.001, 0.01, '+Inf'].map((le, i) => `h_bucket{op="a\\"b",le="${le}"} ${counts[i]}`).join('\n')
    const [before, now] = [
      parseMetrics(text([10, 10, 10])),
      parseMetrics(`# HELP h\n${text([10, 110, 110])}`),
    ]
    expect(now.get('h_bucket')?.[0]?.labels['op']).toBe('a"b')
    const rate = rateOf([before, now], 'h', 2, ({ op }) => op === 'a"b')
    expect(rate.perSecond).toBe(50)
    expect(rate.p50Ms).toBeCloseTo(5.5)
    expect(rateOf([before, now], 'h', 2, () => false)).toEqual({
      perSecond: 0,
      p50Ms: undefined,
      p99Ms: undefined,
    })
    expect([bytes(0), bytes(1023), bytes(1536), bytes(undefined)]).toEqual(['0 B', '1023 B', '1.5 KiB', '-'])
  })
})

describe('completions', () => {
  const shells = ['bash', 'zsh', 'fish'] as const

  it.each(shells)('for %s name every command, and pass its own check where it is installed', async shell => {
    const { out } = await drift('completions', shell)
    for (const command of ['serve', 'import', 'export', 'query', 'stats', 'check', 'backup', 'bench', 'top'])
      expect(out).toContain(command)
    expect(out).toContain('vector-field')
    if (spawnSync(shell, ['--version']).status !== 0) return
    const script = file(`completions.${shell}`, out)
    expect(spawnSync(shell, ['-n', script], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
  })

  it.runIf(spawnSync('bash', ['--version']).status === 0)(
    'complete commands and options in bash',
    async () => {
      const { out } = await drift('completions', 'bash')
      const complete = (...words: string[]): string[] => {
        const list = words.map(word => `'${word}'`).join(' ')
        const script = `${out}\nCOMP_WORDS=(drift ${list}); COMP_CWORD=${words.length}; _drift; printf '%s\\n' "\${COMPREPLY[@]}"`
        return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).split('\n').filter(Boolean)
      }
      expect(complete('ex')).toEqual(['export'])
      expect(complete('--json', 'st')).toEqual(['stats'])
      expect(complete('import', 'db', '--res')).toEqual(['--resume'])
      // Left to bash, which completes files.
      expect(complete('import', 'd')).toEqual([])
    },
  )
})
