// An engine in a process of its own, bound to one core: nothing that one engine does to its heap, its threads or its allocator
// costs another one time.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { toolsFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { nodeEngine } from './engines/catalogue.js'
import type { EngineKind } from './engines/engine-kind.js'
import type { Failed, Filled, Replies, Request } from './protocol.js'

export interface EngineOptions {
  /** The python that has the engines that run there. */
  readonly python?: string | undefined
  /** Cores to run on, while it is filled and afterwards. undefined: the system's choice. */
  readonly buildCores: string | undefined
  readonly core: string | undefined
}

export class EngineProcess {
  readonly kind: EngineKind
  /** Of its library, with the name; empty for our own. */
  version = ''
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #options: EngineOptions
  #waiting: { resolve(reply: object): void; reject(error: Error): void } | undefined
  #ended = false
  #printed = ''

  /** @returns the sentence that says why, when the engine is not there. */
  static async start(kind: EngineKind, options: EngineOptions): Promise<EngineProcess | string> {
    const own = nodeEngine(kind.name) !== undefined
    if (!own && options.python === undefined) return 'needs python (--python PATH)'
    const engine = new EngineProcess(kind, options, own)
    try {
      const { missing, version = '' } = await engine.ask({ do: 'load', engine: kind.name })
      engine.version = version
      if (missing === undefined) return engine
      await engine.close()
      return missing
    } catch (error) {
      engine.kill()
      throw error
    }
  }

  private constructor(kind: EngineKind, options: EngineOptions, own: boolean) {
    this.kind = kind
    this.#options = options
    this.#folder = join(toolsFolder, 'bench', 'out', 'engines', kind.name)
    rmSync(this.#folder, { recursive: true, force: true }) // of a run that was ended from outside
    mkdirSync(this.#folder, { recursive: true })
    const [command, ...args] = own
      ? [process.execPath, '--expose-gc', join(toolsFolder, 'dist', 'bench', 'child.js')]
      : [options.python!, join(toolsFolder, 'bench', 'peers', 'python_engine.py')]
    // What engines print is theirs; its end is shown when their process ends by itself.
    this.#child = spawn(command!, args, {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'json',
      env: { ...process.env, ...ENVIRONMENT },
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#printed = (this.#printed + text).slice(-PRINTED_CHARACTERS)
    })
    this.#child.on('message', (reply: object) => {
      const { error } = reply as Partial<Failed>
      if (error === undefined) this.#waiting?.resolve(reply)
      else this.#waiting?.reject(new ToolError('ENGINE', `${kind.name}: ${error}`))
    })
    this.#child.on('error', error => this.#end(error.message))
    this.#child.on('exit', (code, signal) => this.#end(`ended with ${signal ?? code}`))
    pin(this.#child.pid, options.buildCores)
  }

  /** One request at a time. */
  ask<R extends Request>(request: R): Promise<Replies[R['do']]> {
    return new Promise<Replies[R['do']]>((resolve, reject) => {
      if (this.#ended) return reject(new ToolError('ENGINE', `${this.kind.name} has ended`))
      this.#waiting = { resolve: reply => resolve(reply as Replies[R['do']]), reject }
      this.#child.send(request)
    })
  }

  /** Reads the rows of a prepared folder and builds; measured from here on, in one core. */
  async fill(request: Omit<Request & { do: 'fill' }, 'do' | 'folder'>): Promise<Filled> {
    const filled = await this.ask({ do: 'fill', folder: this.#folder, ...request })
    pin(this.#child.pid, this.#options.core)
    return filled
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.ask({ do: 'end' })
    this.kill()
  }

  /** At once, whatever it is doing. */
  kill(): void {
    this.#child.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #end(how: string): void {
    this.#ended = true
    this.#waiting?.reject(new ToolError('ENGINE', `${this.kind.name}: ${this.#printed}\nits process ${how}`))
  }
}

/** A stack trace has room. */
const PRINTED_CHARACTERS = 4_000

/** Libraries read these when they are loaded; what may use more threads is told so when it is filled. Warnings are theirs. */
const ENVIRONMENT = {
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  MKL_NUM_THREADS: '1',
  TF_CPP_MIN_LOG_LEVEL: '3',
  LANCE_LOG: 'error',
}

/** Of util-linux; where it is missing, processes run where the system puts them, and the report says so. */
const TASKSET = 'taskset'

/** Every thread of the process. */
function pin(pid: number | undefined, cores: string | undefined): void {
  if (pid !== undefined && cores !== undefined) spawnSync(TASKSET, ['-a', '-c', '-p', cores, `${pid}`])
}

/** Whether processes can be bound to cores here. */
export function canPin(): boolean {
  return spawnSync(TASKSET, ['--version'], { stdio: 'ignore' }).status === 0
}
