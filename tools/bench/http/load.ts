// Load on a server: as many connections as are asked for, each with one request under way, or requests at a fixed rate
// whatever becomes of those before them. The requests are sent by load.c, in a process of its own, at a tenth of what they cost
// here: what the load takes of the two cores, the server does not get.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ToolError } from '../../data/tool-error.js'

export interface Request {
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly type: string
  readonly body: string | Uint8Array
}

export interface Requests {
  readonly origin: string
  /** Sent in turns. */
  readonly each: readonly Request[]
}

export interface Loaded {
  readonly seconds: number
  /** Processor time of the load, in seconds. */
  readonly cpuSeconds: number
  /** Of those answered 200, in microseconds. */
  readonly latencies: readonly number[]
  /** By status; 0 when no answer came. */
  readonly statuses: ReadonlyMap<number, number>
}

/** When the load ends: after a time, after so many requests, or when it is told to. */
export interface Until {
  readonly ms?: number
  readonly requests?: number
  readonly signal?: AbortSignal
}

/** Connections that a rate is sent over: enough for those that wait. */
export const MOST_CONNECTIONS = 400
/** As in load.c. */
const UNTOLD_MS = 1_000
/** In bytes: two doubles, then a float32 and a uint32 for each request. */
const HEAD_BYTES = 16
const ANSWER_BYTES = 8

export class Load {
  readonly #program: string

  /** @throws ToolError LOAD when there is no C compiler. */
  constructor(folder: string) {
    this.#program = join(folder, 'load')
    // This file is built into tools/dist/bench/http.
    const source = fileURLToPath(new URL('../../../bench/http/load.c', import.meta.url))
    const { status, error } = spawnSync('cc', ['-O2', '-o', this.#program, source], { stdio: 'inherit' })
    if (status !== 0) throw new ToolError('LOAD', `cc could not build ${source}: ${error?.message ?? ''}`)
  }

  closedLoop(requests: Requests, connections: number, until: Until): Promise<Loaded> {
    return this.#run(requests, connections, 0, until)
  }

  /** `rate` requests a second for `ms`, after a second of it that is not told of; a latency is counted from when the request was due. */
  openLoop(requests: Requests, rate: number, ms: number): Promise<Loaded> {
    const total = Math.floor((rate * (UNTOLD_MS + ms)) / 1000)
    return this.#run(requests, MOST_CONNECTIONS, rate, { requests: total })
  }

  async #run(
    requests: Requests,
    connections: number,
    rate: number,
    { ms = 0, requests: total = 0, signal }: Until,
  ): Promise<Loaded> {
    const { port } = new URL(requests.origin)
    const child = spawn(this.#program, [port, connections, rate, ms, total].map(String), {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const stop = () => child.kill('SIGTERM')
    signal?.addEventListener('abort', stop, { once: true })
    const exit = once(child, 'exit')
    Readable.from(encode(requests)).pipe(child.stdin)
    const parts: Buffer[] = []
    for await (const part of child.stdout) parts.push(part as Buffer)
    const [status] = await exit
    signal?.removeEventListener('abort', stop)
    if (status !== 0) throw new ToolError('LOAD', `the load ended with ${status}`)
    return decode(Buffer.concat(parts))
  }
}

/** As load.c reads them. */
function* encode({ origin, each }: Requests): Generator<Buffer> {
  const { host } = new URL(origin)
  for (const { method, path, type, body: given } of each) {
    const body = Buffer.from(given as Uint8Array)
    const head = Buffer.from(
      `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    const length = Buffer.alloc(4)
    length.writeUInt32LE(head.length + body.length)
    yield Buffer.concat([length, head, body])
  }
}

function decode(answers: Buffer): Loaded {
  const latencies: number[] = []
  const statuses = new Map<number, number>()
  for (let at = HEAD_BYTES; at < answers.length; at += ANSWER_BYTES) {
    const status = answers.readUInt32LE(at + 4)
    if (status === 200) latencies.push(answers.readFloatLE(at))
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  return { seconds: answers.readDoubleLE(0), cpuSeconds: answers.readDoubleLE(8), latencies, statuses }
}
