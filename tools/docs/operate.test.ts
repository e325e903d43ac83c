// Proves of docs/operate: its commands do what it says when they are pasted in order; dashboard and alerts ask for metrics, labels and
// figures that a server has; options and files that it names exist; the Dockerfile keeps the rules of a small and unprivileged image; the
// unit is one. No image is built here.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@drift/http'
import { Drift } from '@drift/server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { workspaceFolder } from '../data/place.js'

const place = join(workspaceFolder, 'docs', 'operate')
const program = join(workspaceFolder, 'packages', 'cli', 'dist', 'drift.js')
const text = (name: string): string => readFileSync(join(place, name), 'utf8')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-operate-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the commands of README.md', () => {
  test.skipIf(process.platform === 'win32')('do what they say, one block after the other', () => {
    const blocks = [...text('README.md').matchAll(/^```sh run\n(.*?)^```$/gms)].map(([, code]) => code!)
    expect(blocks.length).toBeGreaterThan(2)
    const commands = join(folder, 'bin')
    mkdirSync(commands)
    const command = join(commands, 'drift')
    writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
    chmodSync(command, 0o755)
    const env = { ...process.env, PATH: `${commands}:${process.env['PATH']}` }
    // Whose standard input is a socket, as here, may take itself for a remote shell and read what the machine has for these.
    const shell = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', blocks.join('\n')], {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
    expect(shell).toMatchObject({ status: 0, stderr: '' })
    expect(shell.stdout).toMatch(
      /1 rows written\n.*backed up to monday\n.*ok: .*ok: .*\n1\n.*1 rows written\n1\n$/s,
    )
    // The keys that it makes are keys that a server takes.
    const keys = JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')) as object[]
    expect(keys).toEqual([
      { id: 'app', hash: expect.stringMatching(/^sha256:/), scope: 'write', collections: ['docs*'] },
    ])
  })

  test('name options that serve has, and serve has no option that they do not name', () => {
    const help = spawnSync(process.execPath, [program, 'serve', '--help'], { encoding: 'utf8' }).stdout
    const options = [...help.matchAll(/^ {2}--([a-z-]+)/gm)]
      .map(([, name]) => name!)
      .filter(name => name !== 'config')
    const table = text('README.md').split('## Options')[1]!.split('\n## ')[0]!
    const named = [...table.matchAll(/^\| (`[^|]*)\|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name!),
    )
    expect(named.sort()).toEqual(options.sort())
    const config = Object.keys(JSON.parse(text('serve.json')) as object)
    const camel = options.map(name => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()))
    expect(config.filter(name => !camel.includes(name))).toEqual([])
  })
})

describe('dashboard and alerts', () => {
  interface Dashboard {
    readonly panels: readonly {
      readonly title: string
      readonly targets: readonly { readonly expr: string }[]
    }[]
  }
  interface Rules {
    readonly groups: readonly {
      readonly rules: readonly { readonly alert: string; readonly expr: string }[]
    }[]
  }
  const dashboard = JSON.parse(text('grafana.json')) as Dashboard
  const rules = (parse(text('alerts.yml')) as Rules).groups.flatMap(group => group.rules)
  const expressions = [
    ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const)),
    ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ]
  /** Lines of /metrics of a server that has answered searches, has healed, and lies on a disk. */
  let lines: string[]
  let operations: string[]

  beforeAll(async () => {
    await using db = await Drift.open(join(folder, 'measured'), { shadow: 1, maintenance: 'manual' })
    const server = await serve({ db, port: 0, logger: false })
    const docs = await db.collection('docs', { dim: 2, metric: 'l2', memtableRows: 256 })
    const ids = Array.from({ length: 2_000 }, (_, id) => id)
    await docs.upsert({
      ids,
      vectors: Float32Array.from(ids.flatMap(id => [Math.sin(id), Math.cos(3 * id)])),
    })
    await docs.flush()
    for (let i = 0; i < 40; i++) await docs.search([Math.sin(i), 0])
    await docs.delete(ids.filter(id => id % 4 > 0))
    await docs.maintain()
    const headers = { 'content-type': 'application/json' }
    const points = `${server.url}/v1/collections/docs/points`
    await fetch(`${points}/get`, { method: 'POST', headers, body: '{"ids":[1]}' })
    const { paths } = (await (await fetch(`${server.url}/v1/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { operationId: string }>>
    }
    operations = Object.values(paths).flatMap(path =>
      Object.values(path).map(({ operationId }) => operationId),
    )
    lines = (await (await fetch(`${server.url}/metrics`)).text()).split('\n')
    await server.close()
  })

  test.each(expressions)('%s asks for what there is', (_, expression) => {
    // A selector: name{label="value", label=~"a|b"}; names of functions have no underscore and are followed by a bracket.
    const selectors = [...expression.matchAll(/\b((?:drift|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)]
    expect(selectors.length).toBeGreaterThan(0)
    for (const [, name, conditions = ''] of selectors) {
      const series = lines.filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      expect([name, series.length > 0]).toEqual([name, true])
      for (const [, label, operator, wanted] of conditions.matchAll(/(\w+)(=~|=)"([^"]*)"/g)) {
        // Prometheus gives each series its server; statuses are met when they are met.
        if (label === 'instance' || label === 'status') continue
        const values = series.map(line => new RegExp(`${label}="([^"]*)"`).exec(line)?.[1])
        expect([name, label, values.every(value => value !== undefined)]).toEqual([name, label, true])
        if (wanted!.startsWith('$')) continue
        const accepts = operator === '=' ? [wanted!] : wanted!.split('|')
        // Operations are met when they are called.
        const known = label === 'operation' ? operations : values
        expect([name, label, accepts.filter(value => !known.includes(value))]).toEqual([name, label, []])
      }
    }
  })

  test('labels that are summed by, and named in legends, are labels', () => {
    const known = new Set(lines.flatMap(line => [...line.matchAll(/(\w+)="/g)].map(([, label]) => label!)))
    const used = [...text('grafana.json').matchAll(/(?:by|on) \(([^)]*)\)|\{\{(\w+)\}\}/g)].flatMap(
      ([, list, one]) => (one ? [one] : list!.split(',').map(label => label.trim())),
    )
    expect(used.filter(label => label !== 'instance' && !known.has(label))).toEqual([])
  })

  test('the page names metrics that there are', () => {
    const named = [...text('README.md').matchAll(/`((?:drift|nodejs|process)_[a-z0-9_]+)/g)].map(
      ([, name]) => name!,
    )
    expect(named.length).toBeGreaterThan(5)
    // A counter that has counted nothing has its type only.
    const isThere = (name: string): boolean =>
      lines.some(line => line.startsWith(name) || line.startsWith(`# TYPE ${name} `))
    expect(named.filter(name => !isThere(name))).toEqual([])
  })
})

describe('Dockerfile', () => {
  const instructions = text('Dockerfile')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => line.split(/\s+(.*)/s) as [string, string])
  const of = (name: string): string[] =>
    instructions.filter(([word]) => word === name).map(([, rest]) => rest)

  test('ends with an image of its own, unprivileged, with a health check and exec forms', () => {
    const from = of('FROM')
    expect(from).toHaveLength(2)
    expect(from.map(image => /^node:(\d+)-/.exec(image)?.[1])).toEqual(['20', '20'])
    expect(of('ADD')).toEqual([])
    expect(of('USER')).toEqual(['node'])
    const last = instructions.map(([word]) => word).lastIndexOf('USER')
    expect(instructions.slice(last).some(([word]) => word === 'RUN')).toBe(false)
    for (const form of ['ENTRYPOINT', 'CMD']) expect(() => JSON.parse(of(form)[0]!)).not.toThrow()
    expect(of('HEALTHCHECK')[0]).toContain('/livez')
    expect(of('VOLUME')).toEqual(['/data'])
  })

  test('packs every package that the command needs, and starts with options that it has', () => {
    const build = of('RUN').join('\n')
    const { dependencies } = JSON.parse(
      readFileSync(join(workspaceFolder, 'packages', 'cli', 'package.json'), 'utf8'),
    ) as { dependencies: Record<string, string> }
    const own = Object.keys(dependencies).filter(name => name.startsWith('@drift/'))
    for (const name of own) expect(build).toContain(`-w packages/${name.slice('@drift/'.length)}`)
    const help = spawnSync(process.execPath, [program, 'serve', '--help'], { encoding: 'utf8' }).stdout
    const [command, path, ...flags] = JSON.parse(of('CMD')[0]!) as string[]
    expect([command, path]).toEqual(['serve', of('VOLUME')[0]])
    for (const flag of flags.filter(word => word.startsWith('--'))) expect(help).toContain(flag)
  })

  test('its health check is true of a server that runs, and false of none', async () => {
    const [, script] = /"-e", (".*")\]/.exec(of('HEALTHCHECK')[0]!) as unknown as [string, string]
    await using db = await Drift.open(':memory:')
    const server = await serve({ db, port: 0, logger: false })
    const check = async (port: number): Promise<number> => {
      const code = (JSON.parse(script) as string).replace('7700', String(port))
      const { spawn } = await import('node:child_process')
      return new Promise(resolve =>
        spawn(process.execPath, ['-e', code]).on('exit', status => resolve(status ?? -1)),
      )
    }
    expect(await check(server.port)).toBe(0)
    await server.close()
    expect(await check(server.port)).toBe(1)
  })
})

describe('drift.service', () => {
  test('starts the command that there is, with the file beside it', () => {
    const unit = text('drift.service')
    expect(unit).toMatch(/^ExecStart=\S+\/drift serve \S+ --config \/etc\/drift\/serve\.json$/m)
    expect(existsSync(join(place, 'serve.json'))).toBe(true)
    expect(unit).toMatch(/^KillSignal=SIGTERM$/m)
  })

  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
  test.runIf(hasSystemd)('is one, says systemd', () => {
    const copy = join(folder, 'drift.service')
    copyFileSync(join(place, 'drift.service'), copy)
    const own = readFileSync(copy, 'utf8').replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`)
    writeFileSync(copy, own)
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], {
      encoding: 'utf8',
    })
    expect([status, stderr.split('\n').filter(line => line.includes('drift.service'))]).toEqual([0, []])
  })
})
