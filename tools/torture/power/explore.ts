// Runs a workload and cuts the power before each operation on the disk. Every disk that may be left is opened, and has to hold the state
// after some prefix of what was asked for that includes all that was acknowledged. A part of these openings is cut again, and part of
// the databases is written to afterwards. Disks that a program cannot tell apart are opened once.
import { seededRandom } from '@drift/core'
import type { SimFs } from '@drift/fs'
import { contentKey, cutDisk, isKill, mixed, VARIANTS } from './cut.js'
import { DIM, readState } from './model.js'
import { WORKLOADS, type Workload, type WorkloadName } from './workloads.js'
import { FOLDER, type Modules, type Opening, type Window, World } from './world.js'

export interface ExploreOptions {
  readonly modules: Modules
  readonly workload: WorkloadName
  readonly seed: number
  /** Variants of each cut; all of them when not given. */
  readonly variants?: (cut: number) => readonly number[]
  /** Only this one. */
  readonly only?: { readonly cut: number; readonly variant: number }
  /** Share of the openings that are cut again. */
  readonly recut?: number
  /** Looked at after each step: whether to go on. */
  readonly goOn?: () => boolean
  /** End at the first failure. */
  readonly untilFailure?: boolean
}

export interface Exploration {
  /** Operations on the disk, each with a cut before it. */
  cuts: number
  /** Disks that a cut may have left. */
  states: number
  /** Of these and of the second cuts, those that no other was equal to. */
  opened: number
  /** Cuts of an opening. */
  recuts: number
  readonly failures: Failure[]
}

export interface Failure {
  readonly workload: WorkloadName
  readonly seed: number
  readonly cut: number
  readonly variant: number
  readonly message: string
}

interface Image {
  readonly disk: SimFs
  readonly cut: number
  readonly variant: number
  readonly what: string
  readonly window: Window
  readonly opening: Opening
  readonly backups: readonly {
    readonly folder: string
    readonly from: number
    readonly to: number | undefined
  }[]
}

/** Operations of an opening at which it is cut again. */
const RECUTS = 4
/** One in this many openings is written to and cut once more. */
const WRITE_EVERY = 20
/** Contents that are remembered. */
const REMEMBERED = 20_000

export async function explore(options: ExploreOptions): Promise<Exploration> {
  const explorer = new Explorer(options)
  await explorer.run()
  return explorer.result
}

class Explorer {
  readonly result: Exploration = { cuts: 0, states: 0, opened: 0, recuts: 0, failures: [] }
  readonly #options: ExploreOptions
  readonly #workload: Workload
  readonly #world: World
  #images: Image[] = []
  /** What a disk of this content holds: the text of its state, or the error of its opening. */
  readonly #known = new Map<string, string | Error>()

  constructor(options: ExploreOptions) {
    this.#options = options
    this.#workload = WORKLOADS[options.workload]
    const { options: open = {} } = this.#workload
    this.#world = new World(options.modules, open, what => this.#cut(what))
  }

  async run(): Promise<void> {
    const world = this.#world
    const { seed, goOn = () => true, untilFailure = false } = this.#options
    world.clock.install()
    try {
      await world.open()
      for (const step of this.#workload.steps(seededRandom(seed))) {
        await step.run(world)
        await this.#checkAll()
        if (!goOn() || (untilFailure && this.result.failures.length > 0)) break
      }
      await world.db.close()
      world.synced()
      await this.#checkAll()
      const end = {
        disk: world.disk.powerCut({ data: 'none', entries: 'none' }),
        cut: this.result.cuts,
        variant: 0,
      }
      await this.#check({
        ...end,
        what: 'closed',
        window: world.window,
        opening: {},
        backups: [...world.backups],
      })
    } catch (error) {
      this.#fail(
        { cut: this.result.cuts, variant: 0 },
        `the workload itself fails: ${(error as Error).stack}`,
      )
    } finally {
      world.clock.uninstall()
    }
  }

  #cut(what: string): void {
    const cut = ++this.result.cuts
    const { variants = () => ALL, only, seed } = this.#options
    if (only && only.cut !== cut) return
    const { disk, window, opening, backups } = this.#world
    for (const variant of only ? [only.variant] : variants(cut)) {
      this.result.states++
      this.#images.push({
        disk: cutDisk(disk, variant, mixed(seed, cut)),
        cut,
        variant,
        what,
        window,
        opening,
        backups: backups.map(backup => ({ ...backup })),
      })
    }
  }

  async #checkAll(): Promise<void> {
    const images = this.#images
    this.#images = []
    for (const image of images) {
      if (this.#options.untilFailure && this.result.failures.length > 0) return
      await this.#check(image)
    }
  }

  async #check(image: Image): Promise<void> {
    const { window, opening, variant, disk } = image
    const first = isKill(variant) ? window.written : window.durable
    const allowed = this.#world.states.slice(first, window.begun + 1)
    const key = `${contentKey(disk, FOLDER)} ${JSON.stringify(opening)}`
    let found = this.#known.get(key)
    if (found === undefined) {
      found = await this.#open(image)
      if (this.#known.size >= REMEMBERED) this.#known.clear()
      this.#known.set(key, found)
    }
    if (typeof found !== 'string') return this.#fail(image, `does not open: ${found.stack}`)
    if (!allowed.includes(found)) return this.#fail(image, difference(found, allowed))
    for (const backup of image.backups) await this.#checkBackup(image, backup)
  }

  /** Opens the disk and some of those that a cut of the opening leaves. */
  async #open(image: Image): Promise<string | Error> {
    const { only, seed, recut = 0.1 } = this.#options
    const { cut, variant, opening, disk } = image
    this.result.opened++
    const chance = mixed(seed, cut, variant, 1) / 2 ** 32
    const again: SimFs[] = []
    let at = 0
    let isRead = false
    const wanted = (): boolean =>
      !isRead && (only !== undefined || (chance < recut && mixed(seed, cut, variant, at) % 40 < RECUTS))
    const watched: SimFs = disk.processKill({
      before: () => {
        at++
        if (wanted()) again.push(cutDisk(watched, mixed(at, seed) % VARIANTS, mixed(at, cut)))
      },
    })
    try {
      const goesOn = mixed(seed, cut, variant, 2) % WRITE_EVERY === 0 || only !== undefined
      const found = await this.#read(watched, opening, goesOn, () => {
        isRead = true
      })
      for (const [i, second] of again.entries()) {
        this.result.recuts++
        const key = `${contentKey(second, FOLDER)} ${JSON.stringify(opening)}`
        const same = this.#known.get(key) ?? (await this.#read(second, opening, false))
        this.#known.set(key, same)
        // A killed process' writes may still be lost by the second cut: then either state is right.
        if (same !== found && !isKill(variant))
          throw new Error(`cut again (${i} of ${again.length}): ${difference(String(same), [found])}`)
      }
      return found
    } catch (error) {
      return error as Error
    }
  }

  async #read(disk: SimFs, opening: Opening, goesOn: boolean, onRead?: () => void): Promise<string> {
    const { modules } = this.#options
    let db = await this.#world.openCopy(disk, opening).catch(async error => {
      if (!opening.repair) throw error
      await modules.server.Drift.repair(FOLDER, { fs: disk })
      return this.#world.openCopy(disk, opening)
    })
    try {
      const found = await readState(db)
      onRead?.()
      const [name] = db.collections()
      if (!goesOn || name === undefined) return found
      await (await db.collection(name)).upsert([{ id: 'later', vector: new Float32Array(DIM) }])
      const more = await readState(db)
      const cut = disk.powerCut({ data: 'none', entries: 'none' })
      await db.close()
      db = await this.#world.openCopy(cut, {})
      const kept = await readState(db)
      if (kept !== more) throw new Error(`written after the cut, and gone: ${difference(kept, [more])}`)
      return found
    } finally {
      await db.close()
    }
  }

  async #checkBackup(image: Image, { folder, from, to }: Image['backups'][number]): Promise<void> {
    const { disk, window } = image
    if (disk.stat(`${folder}/FORMAT`) === undefined) {
      if (to !== undefined) this.#fail(image, `${folder} was acknowledged, and is gone`)
      return
    }
    const key = `${folder} ${contentKey(disk, folder)}`
    let found = this.#known.get(key)
    if (found === undefined) {
      const db = await this.#world.openCopy(disk.processKill(), {}, folder).catch((error: Error) => error)
      found = db instanceof Error ? db : await readState(db).catch((error: Error) => error)
      if (!(db instanceof Error)) await db.close()
      this.#known.set(key, found)
    }
    const allowed = this.#world.states.slice(from, (to ?? window.begun) + 1)
    if (typeof found !== 'string') this.#fail(image, `${folder} does not open: ${found.stack}`)
    else if (!allowed.includes(found)) this.#fail(image, `${folder}: ${difference(found, allowed)}`)
  }

  #fail({ cut, variant, what }: Pick<Image, 'cut' | 'variant'> & { what?: string }, message: string): void {
    const { workload, seed } = this.#options
    this.result.failures.push({
      workload,
      seed,
      cut,
      variant,
      message: what ? `before ${what}: ${message}` : message,
    })
  }
}

const ALL: readonly number[] = Array.from({ length: VARIANTS }, (_, variant) => variant)

/** Lines of the state that the nearest allowed one does not have, and the other way round. */
function difference(found: string, allowed: readonly string[]): string {
  const lines = new Set(found.split('\n'))
  const all = allowed.map(text => {
    const wanted = new Set(text.split('\n'))
    return [
      ...[...lines].filter(line => !wanted.has(line)).map(line => `+ ${line.slice(0, 200)}`),
      ...[...wanted].filter(line => !lines.has(line)).map(line => `- ${line.slice(0, 200)}`),
    ]
  })
  const nearest = all.sort((a, b) => a.length - b.length)[0] ?? ['nothing is allowed']
  return `not one of ${allowed.length} states; from the nearest:\n${nearest.slice(0, 10).join('\n')}`
}
