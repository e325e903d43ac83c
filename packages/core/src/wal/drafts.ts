/**
 * The next file of the log, while it is made: out of zeros, or out of a file that nobody needs any more (docs/adr/0062). Rules: it shows its
 * name only when its zeros, or its claim, are on disk; one that could not be made goes at once, as it may hold the last free bytes of the disk.
 */

import type { DriftFs } from '@drift/fs'
import { encodeClaim, walDraftName, walFileName } from './format.js'

/** Zeros written per step of a preparation: a step takes a few milliseconds, and commits go between steps. */
const PREPARE_BYTES = 4 * 1024 * 1024
/** And so many by another thread. */
const ASIDE_BYTES = 16 * 1024 * 1024
/** And synced so many at a time: a sync of fresh zeros is a commit of the file system's journal, and holds commits up for 10 ms. */
const PREPARE_SYNC_BYTES = 16 * 1024 * 1024

export interface Draft {
  readonly file: number
  readonly fd: number
  /** Zeros so far, and how many of them are on disk. */
  bytes: number
  synced: number
  /** It bears its final name. */
  published: boolean
  /** It was an earlier file. */
  readonly isRecycled: boolean
  /** Another thread writes to it, so its descriptor stays open. */
  isBusy: boolean
  /** It could not be made, and is no more. */
  isGone: boolean
}

export class WalDrafts {
  readonly #fs: DriftFs
  readonly #folder: string
  readonly #fileBytes: number
  #spare: Draft | undefined
  /** A file of the full size that nobody needs any more, under its draft's name: the next one that is made. */
  #kept: number | undefined

  /** @param fileBytes - the full size. */
  constructor(fs: DriftFs, folder: string, fileBytes: number) {
    this.#fs = fs
    this.#folder = folder
    this.#fileBytes = fileBytes
  }

  /** The next file, as far as it is made. */
  get spare(): Draft | undefined {
    return this.#spare
  }

  get hasKept(): boolean {
    return this.#kept !== undefined
  }

  /** The spare, begun when there is none. */
  begin(file: number): Draft {
    if (this.#spare && !this.#spare.isBusy) return this.#spare
    const path = this.#path(walDraftName(file))
    if (this.#fs.stat(path)) this.#fs.remove(path)
    const kept = this.#takeKept()
    if (kept !== undefined) return this.#recycle(kept, file)
    this.#spare = newDraft(file, this.#fs.open(path, 'create'), false)
    return this.#spare
  }

  /** The spare is the log's now. */
  use(): void {
    this.#spare = undefined
  }

  /** One step of making it, up to `whole` bytes; published in the last one. */
  makeStep(file: number, whole: number): void {
    const spare = this.begin(file)
    this.extend(spare, Math.min(whole, spare.bytes + PREPARE_BYTES))
    if (spare.bytes >= whole || spare.bytes - spare.synced >= PREPARE_SYNC_BYTES) this.syncZeros(spare)
    if (spare.synced >= whole) this.publish(spare)
  }

  /** The same, with the writing in another thread; a larger step. Meanwhile another may be begun, and this one is nobody's then. */
  async makeAside(file: number, whole: number): Promise<void> {
    const fs = this.#fs
    const spare = this.begin(file)
    if (!fs.writeAside || spare.bytes >= whole) {
      this.makeStep(file, whole)
      return
    }
    const bytes = Math.min(whole - spare.bytes, ASIDE_BYTES)
    spare.isBusy = true
    try {
      // Never touched, so all of it is one page of zeros.
      await fs.writeAside(spare.fd, new Uint8Array(bytes), spare.bytes, true)
    } catch (cause) {
      spare.isBusy = false
      if (this.#spare === spare) this.#discard(spare)
      else fs.close(spare.fd)
      throw cause
    }
    spare.isBusy = false
    if (this.#spare !== spare) {
      fs.close(spare.fd)
      return
    }
    spare.bytes += bytes
    spare.synced = spare.bytes
    if (spare.synced >= whole) this.publish(spare)
  }

  /** Written zeros, not a hole: a sync of a frame then has no size and no extent to write, which halves it. */
  extend(draft: Draft, bytes: number): void {
    if (draft.bytes >= bytes) return
    const zeros = new Uint8Array(Math.min(PREPARE_BYTES, bytes - draft.bytes))
    try {
      for (let at = draft.bytes; at < bytes; at += zeros.length)
        this.#fs.write(draft.fd, zeros.subarray(0, Math.min(zeros.length, bytes - at)), at)
    } catch (cause) {
      this.#discard(draft)
      throw cause
    }
    draft.bytes = bytes
  }

  syncZeros(draft: Draft): void {
    if (draft.synced === draft.bytes) return
    try {
      this.#fs.fsync(draft.fd)
    } catch (cause) {
      this.#discard(draft)
      throw cause
    }
    draft.synced = draft.bytes
  }

  /** It gets its name, durably. */
  publish(draft: Draft): void {
    this.#fs.rename(this.#path(walDraftName(draft.file)), this.#path(walFileName(draft.file)))
    this.#fs.syncFolder(this.#folder)
    draft.published = true
  }

  /** A file of the full size that nobody needs becomes the next one. */
  keep(file: number): void {
    this.#fs.rename(this.#path(walFileName(file)), this.#path(walDraftName(file)))
    this.#kept = file
  }

  /** Frees the descriptor and leaves the file as it is. */
  abandon(): void {
    const spare = this.#spare
    this.#spare = undefined
    if (spare && !spare.isBusy) this.#fs.close(spare.fd)
  }

  /** What was kept, and the spare that there was, go. */
  remove(spare: Draft | undefined): void {
    const kept = this.#takeKept()
    if (kept !== undefined) this.#fs.remove(this.#path(walDraftName(kept)))
    if (spare) this.#fs.remove(this.#pathOf(spare))
  }

  /** Somebody may have removed it: it bears the name of what nobody needs. */
  #takeKept(): number | undefined {
    const kept = this.#kept
    const isThere = kept !== undefined && this.#fs.stat(this.#path(walDraftName(kept))) !== undefined
    this.#kept = undefined
    return isThere ? kept : undefined
  }

  /** What it held stays, but for the first pages: it has its blocks, and neither size nor extents change when frames are synced. */
  #recycle(kept: number, file: number): Draft {
    const fs = this.#fs
    const path = this.#path(walDraftName(file))
    const from = this.#path(walDraftName(kept))
    let fd: number
    try {
      fs.rename(from, path)
      // Before its bytes change: else they could come back under the name that it had.
      fs.syncFolder(this.#folder)
      fd = fs.open(path, 'write')
    } catch (cause) {
      // It goes at once, as in `#discard`.
      for (const name of [from, path]) if (fs.stat(name)) fs.remove(name)
      throw cause
    }
    const draft = newDraft(file, fd, true)
    this.#spare = draft
    try {
      fs.write(fd, encodeClaim(file), 0)
    } catch (cause) {
      this.#discard(draft)
      throw cause
    }
    draft.bytes = this.#fileBytes
    return draft
  }

  #discard(draft: Draft): void {
    this.#spare = undefined
    draft.isGone = true
    this.#fs.close(draft.fd)
    this.#fs.remove(this.#pathOf(draft))
  }

  #pathOf({ file, published }: Draft): string {
    return this.#path(published ? walFileName(file) : walDraftName(file))
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`
  }
}

function newDraft(file: number, fd: number, isRecycled: boolean): Draft {
  return { file, fd, bytes: 0, synced: 0, published: false, isRecycled, isBusy: false, isGone: false }
}
