/**
 * One request to the server, repeated while repeating may help: no connection, a cut answer, 429, 502, 503, 504.
 * Rule: a write is repeated under one idempotency key, so it is applied once however often it is sent.
 */
import { ClientError } from './errors.js'
import { isBytes, isPlain, optionsOf, show } from './given.js'
import { decodeFrame, FRAME_TYPE, type Frame, IDEMPOTENCY_HEADER } from './wire.js'

export interface ConnectOptions {
  /** API key, sent as a bearer token. */
  readonly key?: string
  /** Of one try, from its beginning to the end of its answer. Default 30 000 ms, and none for calls that may take long; 0 or Infinity for none. */
  readonly timeoutMs?: number
  /** Further tries after the first. Default 4. */
  readonly retries?: number
  /** Of the first pause; each is twice as long as the one before, with a quarter of jitter. Default 100 ms. */
  readonly backoffMs?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Another fetch, for tests and proxies. */
  readonly fetch?: typeof fetch
  /** Ends the connecting; each call takes one of its own. */
  readonly signal?: AbortSignal
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below /v1, percent-encoded. */
  readonly path: string
  /** JSON, or of `type` when it is bytes. */
  readonly body?: unknown
  /** Default: a frame. */
  readonly type?: string
  /** Changes something: gets an idempotency key. */
  readonly writes?: boolean
  readonly accept?: string
  /** A field of the answer, and whether it is what a Drift server sends; other JSON is refused. */
  readonly has?: readonly [field: string, is: (value: unknown) => boolean]
  /** The answer may take as long as it takes: only its beginning is timed. */
  readonly long?: boolean
  /** The work may take hours: no time limit unless one was given, and not begun again for having been slow. */
  readonly slow?: boolean
  readonly signal?: AbortSignal | undefined
}

const CONNECT_KEYS: Record<keyof ConnectOptions, true> = {
  key: true,
  timeoutMs: true,
  retries: true,
  backoffMs: true,
  headers: true,
  fetch: true,
  signal: true,
}
const TIMEOUT_MS = 30_000
/** The longest that timers take; a longer one would end at once. */
const MAX_TIMER_MS = 2 ** 31 - 1
const RETRIES = 4
const BACKOFF_MS = 100
const MAX_BACKOFF_MS = 10_000
/** Who is told to come back later than this is told so, and nobody waits. */
const MAX_PAUSE_MS = 60_000
const AGAIN: readonly number[] = [429, 502, 503, 504]
/** Of a proxy that waited no longer for the server. */
const GATEWAY_TIMEOUT = 504
/** How Node's fetch says that it waited no longer: 300 s, of which its caller can change nothing. */
const FETCH_TIMEOUTS: readonly unknown[] = ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']
/** The server is up and will say the same again. */
const FINAL_CODES: readonly string[] = ['DRIFT_WAL_FAILED', 'DRIFT_COMMIT_FAILED']

export class Transport {
  readonly url: string
  readonly #options: ConnectOptions
  readonly #fetch: typeof fetch
  #closed = false

  /** @throws ClientError DRIFT_URL, DRIFT_OPTION, DRIFT_UNKNOWN_OPTION */
  constructor(url: string, options?: ConnectOptions) {
    const given = optionsOf(options, 'connect', CONNECT_KEYS)
    for (const name of ['timeoutMs', 'retries', 'backoffMs'] as const) {
      const value: unknown = given[name]
      if (value === undefined || (typeof value === 'number' && value >= 0)) continue
      throw new ClientError('DRIFT_OPTION', `${name} is ${show(value)}, expected a number of at least 0`, {
        option: name,
      })
    }
    assertSendable(given)
    let parsed: URL
    try {
      parsed = new URL(url)
    } catch (cause) {
      throw new ClientError('DRIFT_URL', `'${url}' is no URL, expected http://host:port`, {}, { cause })
    }
    if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
      throw new ClientError('DRIFT_URL', `'${url}' begins with ${parsed.protocol}, expected http: or https:`)
    }
    if (parsed.username !== '' || parsed.password !== '' || parsed.search !== '' || parsed.hash !== '') {
      const message = 'expected http://host:port, without a user, ? or #; a key goes in the option key'
      throw new ClientError('DRIFT_URL', `the URL has more than where the server is: ${message}`)
    }
    this.url = parsed.href.replace(/\/+$/, '')
    this.#options = given
    this.#fetch = given.fetch ?? globalThis.fetch
  }

  close(): void {
    this.#closed = true
  }

  async json<T>(call: Call): Promise<T> {
    const [field, is] = call.has ?? []
    return this.#repeat(call, async response => {
      let answer: unknown
      try {
        answer = await response.json()
      } catch (cause) {
        if (cause instanceof SyntaxError) throw answerError(response, cause)
        throw cause
      }
      const isObject = typeof answer === 'object' && answer !== null
      if (!isObject || (field && !is?.((answer as Record<string, unknown>)[field])))
        throw answerError(response)
      return answer as T
    })
  }

  /** The frame that `call.accept` asks for. */
  async frame(call: Call): Promise<Frame> {
    return this.#repeat(call, async response => {
      const bytes = new Uint8Array(await response.arrayBuffer())
      try {
        return decodeFrame(bytes)
      } catch (cause) {
        throw answerError(response, cause)
      }
    })
  }

  /** The body as it comes; what breaks off while it is read is not repeated. */
  async stream(call: Call): Promise<ReadableStream<Uint8Array>> {
    return this.#repeat({ ...call, long: true }, async response => {
      // A page of something in between has a body, too.
      const type = response.headers.get('content-type') ?? ''
      if (!response.body || (call.accept && !type.startsWith(call.accept))) throw answerError(response)
      return response.body as ReadableStream<Uint8Array>
    })
  }

  async #repeat<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const { retries = RETRIES, backoffMs = BACKOFF_MS } = this.#options
    if (this.#closed) throw new ClientError('DRIFT_CLOSED', 'the connection is closed')
    const request = this.#request(call)
    for (let tries = 0; ; tries++) {
      call.signal?.throwIfAborted()
      let failure: unknown
      let pauseMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2 ** tries) * (1 + Math.random() / 4)
      try {
        return await this.#once(call, request, read)
      } catch (error) {
        call.signal?.throwIfAborted()
        failure = error
      }
      if (!(failure instanceof ClientError) || tries >= retries || !mayHelp(failure, call)) throw failure
      const afterSeconds = failure.details['retryAfter']
      if (typeof afterSeconds === 'number') pauseMs = Math.max(pauseMs, afterSeconds * 1000)
      if (pauseMs > MAX_PAUSE_MS) throw failure
      await pause(pauseMs, call.signal)
    }
  }

  /** One try. @throws ClientError */
  async #once<T>(call: Call, request: RequestInit, read: (response: Response) => Promise<T>): Promise<T> {
    const { timeoutMs = call.slow ? 0 : TIMEOUT_MS } = this.#options
    const timeout = new AbortController()
    const isTimed = timeoutMs > 0 && timeoutMs <= MAX_TIMER_MS
    const timer = isTimed ? setTimeout(() => timeout.abort(), timeoutMs) : undefined
    const signals = [timeout.signal, ...(call.signal ? [call.signal] : [])]
    try {
      const send = this.#fetch
      const response = await send(`${this.url}/v1${call.path}`, {
        ...request,
        // Followed, a POST would become a GET.
        redirect: 'manual',
        signal: AbortSignal.any(signals),
      })
      if (call.long) clearTimeout(timer)
      if (!response.ok) throw await refusal(response)
      return await read(response)
    } catch (cause) {
      if (cause instanceof ClientError) throw cause
      const where = `${call.method} ${this.url}/v1${call.path}`
      if (timeout.signal.aborted) {
        const message = `${where} took more than ${timeoutMs} ms`
        throw new ClientError('DRIFT_TIMEOUT', message, { timeoutMs }, { cause })
      }
      const code = isFetchTimeout(cause) ? 'DRIFT_TIMEOUT' : 'DRIFT_UNREACHABLE'
      throw new ClientError(code, `${where}: ${reason(cause)}`, {}, { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  #request({ method, body, type = FRAME_TYPE, writes, accept = 'application/json' }: Call): RequestInit {
    const binary = isBytes(body)
    const headers: Record<string, string> = { accept, ...this.#options.headers }
    if (this.#options.key !== undefined) headers['authorization'] = `Bearer ${this.#options.key}`
    if (body !== undefined) headers['content-type'] = binary ? type : 'application/json'
    if (writes) headers[IDEMPOTENCY_HEADER] = globalThis.crypto.randomUUID()
    if (body === undefined) return { method, headers }
    return { method, headers, body: binary ? (body as Uint8Array<ArrayBuffer>) : json(body) }
  }
}

/** What `fetch` would refuse with every call. @throws ClientError DRIFT_OPTION */
function assertSendable({ key, headers, fetch }: ConnectOptions): void {
  const refuse = (option: string, message: string, cause?: unknown): never => {
    throw new ClientError('DRIFT_OPTION', message, { option }, { cause })
  }
  // Not shown: it is a secret.
  if (key !== undefined && !(typeof key === 'string' && /^[\x21-\x7e]+$/.test(key))) {
    refuse('key', 'key is not what `drift key` makes: expected visible ASCII characters')
  }
  if (fetch !== undefined && typeof fetch !== 'function') {
    refuse('fetch', `fetch is ${show(fetch)}, expected a function`)
  }
  if (headers === undefined) return
  if (!isPlain(headers)) refuse('headers', `headers is ${show(headers)}, expected an object`)
  try {
    new Headers(headers)
  } catch (cause) {
    refuse('headers', `headers: ${(cause as Error).message}`, cause)
  }
}

/** @throws ClientError DRIFT_JSON, as for a bigint in a filter. */
function json(body: unknown): string {
  try {
    return JSON.stringify(body)
  } catch (cause) {
    throw new ClientError('DRIFT_JSON', `this is not JSON: ${(cause as Error).message}`, {}, { cause })
  }
}

function mayHelp({ code, status }: ClientError, { slow }: Call): boolean {
  if (FINAL_CODES.includes(code)) return false
  if (slow && (code === 'DRIFT_TIMEOUT' || status === GATEWAY_TIMEOUT)) return false
  return status === undefined
    ? code === 'DRIFT_UNREACHABLE' || code === 'DRIFT_TIMEOUT'
    : AGAIN.includes(status)
}

/** The server's coded error, from whatever it or something in between answered. */
async function refusal(response: Response): Promise<ClientError> {
  const answer = (await response.json().catch(() => undefined)) as
    | { error?: { code?: unknown; message?: unknown; details?: Record<string, unknown>; requestId?: string } }
    | undefined
  const { code, message, details, requestId } = answer?.error ?? {}
  const after = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new ClientError(
    typeof code === 'string' ? code : 'DRIFT_ANSWER',
    typeof message === 'string' ? message : `the server answered ${statusOf(response)}`,
    { ...details, ...(Number.isFinite(after) ? { retryAfter: after } : {}) },
    { status: response.status, ...(requestId === undefined ? {} : { requestId }) },
  )
}

/** Of a redirect a browser shows neither the status nor the place. */
function statusOf({ status, statusText, type, headers }: Response): string {
  const isRedirect = type === 'opaqueredirect' || (status >= 300 && status < 400)
  if (!isRedirect) return `${status} ${statusText}`
  return `with a redirect to ${headers.get('location') ?? 'another place'}; give the URL where the server is`
}

function answerError({ status }: Response, cause?: unknown): ClientError {
  return new ClientError('DRIFT_ANSWER', 'the answer is not what a Drift server sends', {}, { status, cause })
}

function isFetchTimeout(cause: unknown): boolean {
  return FETCH_TIMEOUTS.includes((cause as { cause?: { code?: unknown } } | undefined)?.cause?.code)
}

function reason(cause: unknown): string {
  const inner = (cause as { cause?: { message?: string } } | undefined)?.cause?.message
  return inner ?? (cause as Error | undefined)?.message ?? 'no answer'
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', ended)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(ended, ms)
    signal?.addEventListener('abort', ended)
  })
}
