import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { type DriftServer, type ServeOptions, serve } from '../src/index.js'

const folders: string[] = []
const servers: DriftServer[] = []

afterAll(async () => {
  for (const server of servers.splice(0)) await server.close({ graceMs: 1_000 })
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** An empty folder that is removed when the file's tests have run. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drift-http-'))
  folders.push(folder)
  return folder
}

/** A server on a free port, closed when the file's tests have run. Never busy: other work on the machine is no overload. */
export async function started(options: Partial<ServeOptions> = {}): Promise<DriftServer> {
  const { limits, ...rest } = options
  const server = await serve({
    db: ':memory:',
    port: 0,
    logger: false,
    limits: { eventLoopDelayMs: 0, queueMs: 60_000, requestsPerSecond: 1_000_000, ...limits },
    ...rest,
  })
  servers.push(server)
  return server
}

/** Uniform numbers in [0, 1), the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function randomVectors(rows: number, dim: number, seed: number): Float32Array {
  const random = randomNumbers(seed)
  return Float32Array.from({ length: rows * dim }, () => random() * 2 - 1)
}
