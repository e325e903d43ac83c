// Load on a server: as many connections as are asked for, each with one request under way, or requests at a fixed rate
// whatever becomes of those before them.
import { Client, Pool } from 'undici'

export interface Requests {
  readonly origin: string
  readonly method: 'POST' | 'PUT'
  readonly path: string
  readonly type: string
  /** Sent in turns. */
  readonly bodies: readonly (string | Uint8Array)[]
}

export interface Loaded {
  readonly seconds: number
  /** Of those answered 200, in microseconds. */
  readonly latencies: readonly number[]
  /** By status; 0 when no answer came. */
  readonly statuses: ReadonlyMap<number, number>
}

/** Connections that a rate is sent over: enough for those that wait. */
const MOST_CONNECTIONS = 1_000

/** @param until - asked before each request: false ends the load. */
export async function closedLoop(
  requests: Requests,
  connections: number,
  until: (sent: number) => boolean,
): Promise<Loaded> {
  const tally = new Tally()
  let sent = 0
  const start = performance.now()
  const work = async (): Promise<void> => {
    const client = new Client(requests.origin)
    while (until(sent)) await tally.count(performance.now(), send(client, requests, sent++))
    await client.close()
  }
  await Promise.all(Array.from({ length: connections }, work))
  return tally.end(start)
}

/** `rate` requests a second for `ms`; a latency is counted from when the request was due. */
export async function openLoop(requests: Requests, rate: number, ms: number): Promise<Loaded> {
  const pool = new Pool(requests.origin, { connections: MOST_CONNECTIONS })
  const tally = new Tally()
  const answers: Promise<void>[] = []
  const start = performance.now()
  const total = Math.floor((rate * ms) / 1000)
  while (answers.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - start) * rate) / 1000) + 1)
    while (answers.length < due) {
      const at = start + (1000 * answers.length) / rate
      answers.push(tally.count(at, send(pool, requests, answers.length)))
    }
    await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(answers)
  const loaded = tally.end(start)
  await pool.close()
  return loaded
}

async function send(
  client: Client | Pool,
  { method, path, type, bodies }: Requests,
  turn: number,
): Promise<number> {
  const { statusCode, body } = await client.request({
    method,
    path,
    headers: { 'content-type': type },
    body: bodies[turn % bodies.length]!,
  })
  await body.arrayBuffer()
  return statusCode
}

class Tally {
  readonly #latencies: number[] = []
  readonly #statuses = new Map<number, number>()

  async count(from: number, answer: Promise<number>): Promise<void> {
    const status = await answer.catch(() => 0)
    if (status === 200) this.#latencies.push((performance.now() - from) * 1000)
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1)
  }

  end(start: number): Loaded {
    return {
      seconds: (performance.now() - start) / 1000,
      latencies: this.#latencies,
      statuses: this.#statuses,
    }
  }
}
