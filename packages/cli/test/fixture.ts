// What the tests of the command share: a folder of their own, the command line in this process and as one of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, onTestFinished } from 'vitest'
import { run } from '../src/index.js'

export const folder: string = mkdtempSync(join(tmpdir(), 'drift-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

export const program: string = fileURLToPath(new URL('../dist/drift.js', import.meta.url))

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
  /** With --json. */
  readonly json: never
}

export async function drift(...args: string[]): Promise<Ended> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(args, { out: text => void out.push(text), err: text => void err.push(text) })
  const text = out.join('\n')
  return {
    code,
    out: text,
    err: err.join('\n'),
    json: args.includes('--json') && text ? (JSON.parse(text) as never) : (undefined as never),
  }
}

/** As a process of its own, killed when the test ends. */
export function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

export function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

export function npy(type: string, rows: number, dim: number, values: Uint8Array): Uint8Array {
  const dict = `{'descr': '${type}', 'fortran_order': False, 'shape': (${rows}, ${dim}), }`
  const header = Buffer.alloc(128, ' ')
  header.write('\x93NUMPY\x01\x00', 'latin1')
  header.writeUInt16LE(118, 8)
  header.write(`${dict}`, 10, 'latin1')
  header[127] = 10
  return Buffer.concat([header, values])
}

export function floats(values: readonly number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer)
}

export function vecs(rows: readonly Uint8Array[], dim: number): Uint8Array {
  return Buffer.concat(rows.flatMap(row => [new Uint8Array(new Int32Array([dim]).buffer), row]))
}
