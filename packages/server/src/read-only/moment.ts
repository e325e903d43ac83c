/**
 * One moment of a folder that a writer, in this process or another, may be at: what was listed, with the manifests, the files that they
 * name and the log held open. What a writer does between two looks has the second one find something else; damage stays.
 */
import { join } from 'node:path'
import { type DriftFs, FsError } from '@drift/fs'
import { type Manifest, readManifests } from '@drift/storage'
import { isMissing, type LogSurvey, surveyLog } from '../check/survey.js'
import { DriftError } from '../errors.js'
import { isLog, isManifest } from '../folder.js'
import { namesOf } from '../persistence/persistence.js'
import { HeldFs } from './held-fs.js'

/** Each time the writer has committed twice since, or was just writing what was read. Ten times in a row the disk is too slow for both. */
const MAX_LOOKS = 10

/** What has been met at the looks so far. */
export class Looks {
  readonly #folder: string
  #met: string | undefined
  #count = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @returns whether the look before met the same: no writer's doing. @throws DriftError DRIFT_LOCKED when every look met something else. */
  isDamage(trouble: string): boolean {
    if (trouble === this.#met) return true
    this.#met = trouble
    if (++this.#count < MAX_LOOKS) return false
    const message = `${this.#folder} is open, and written faster than it can be read: ${trouble}`
    throw new DriftError('DRIFT_LOCKED', message, { path: this.#folder })
  }
}

/**
 * What cannot be held is met again, and named, when it is read.
 *
 * @param held - nothing of the folder was listed through it yet.
 * @returns the newest manifest, and the files that a manifest names and that were gone.
 */
export function holdDatabase(
  held: HeldFs,
  folder: string,
): { readonly manifest: Manifest | undefined; readonly gone: readonly string[] } {
  const isGone = (name: string): boolean => {
    try {
      held.hold(join(folder, name))
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return isMissing(error)
    }
    return false
  }
  for (const name of held.list(folder)) if (isManifest(name) || isLog(name)) isGone(name)
  const manifests = readManifests(held, folder).flatMap(({ decoded }) => decoded?.manifest ?? [])
  const gone = manifests.flatMap(manifest => [...namesOf(manifest)].filter(isGone))
  return { manifest: manifests[0], gone }
}

/** For who has no lock. @returns what is to be let go, and the log. @throws DRIFT_LOCKED; what the disk refuses. */
export function holdMoment(
  fs: DriftFs,
  folder: string,
): { readonly held: HeldFs; readonly log: LogSurvey | undefined } {
  const looks = new Looks(folder)
  for (;;) {
    const held = new HeldFs(fs)
    let isKept = false
    try {
      const { manifest, gone } = holdDatabase(held, folder)
      const log = manifest && surveyLog(held, folder, manifest)
      const damage = log && 'damage' in log ? log.damage.message : undefined
      isKept = (gone.length === 0 && !damage) || looks.isDamage([...gone, damage].join(' '))
      if (isKept) return { held, log }
    } catch (error) {
      if (!isMissing(error) || looks.isDamage((error as Error).message)) throw error
    } finally {
      if (!isKept) held.letGo()
    }
  }
}

/** The log of a database that is open here, whose writer may be at it. */
export function surveyLiveLog(fs: DriftFs, folder: string, manifest: Manifest): LogSurvey {
  const looks = new Looks(folder)
  for (;;) {
    const log = surveyLog(fs, folder, manifest)
    if (!('damage' in log) || looks.isDamage(log.damage.message)) return log
  }
}
