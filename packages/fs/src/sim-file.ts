/**
 * One file of a simulated disk: the bytes that a power cut keeps, and the changes since the last sync that it may keep,
 * lose, tear or turn into zeros. Rule: what was synced never depends on chance.
 * Content is shared between a disk and its images until one of them changes it, so an image costs nothing for a quiet file.
 */

/** The unit that a disk writes whole or not at all, in bytes. */
const SECTOR_BYTES = 512

/** A whole number in 0 .. options - 1: the one source of chance of a power cut. */
export type Choose = (options: number) => number

/** What a power cut keeps of the changes that were not synced. */
export type Survival = 'none' | 'all' | 'random'

/** `bytes` is set for a write, and `size` is the new size of a truncate. */
type Change = { readonly offset: number; readonly bytes: Uint8Array } | { readonly size: number }

const EMPTY = new Uint8Array(0)

export class SimFile {
  readonly kind = 'file'
  /** Capacity may exceed #durableBytes; what lies beyond is zero. */
  #content: Uint8Array = EMPTY
  #contentShared = false
  #durableBytes = 0
  #changes: Change[] = []
  #bytes = 0

  /** The size that readers see. */
  get bytes(): number {
    return this.#bytes
  }

  read(into: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(into.length, this.#bytes - offset))
    const view = into.subarray(0, count).fill(0)
    if (offset < this.#durableBytes)
      view.set(this.#content.subarray(offset, Math.min(this.#durableBytes, offset + count)))
    for (const change of this.#changes) {
      if ('size' in change) view.fill(0, Math.max(0, change.size - offset))
      else {
        const from = Math.max(offset, change.offset)
        const to = Math.min(offset + count, change.offset + change.bytes.length)
        if (from < to)
          view.set(change.bytes.subarray(from - change.offset, to - change.offset), from - offset)
      }
    }
    return count
  }

  /** Copies the bytes. */
  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return
    this.#changes.push({ offset, bytes: bytes.slice() })
    this.#bytes = Math.max(this.#bytes, offset + bytes.length)
  }

  truncate(bytes: number): void {
    this.#changes.push({ size: bytes })
    this.#bytes = bytes
  }

  sync(): void {
    for (const change of this.#changes) this.#keep(change)
    this.#changes = []
  }

  /** What Linux may do when writing back fails: the change is gone from memory, and the next sync succeeds. */
  dropUnsynced(): void {
    this.#changes = []
    this.#bytes = this.#durableBytes
  }

  /** The same file in the memory of a system whose processes have ended. */
  copy(): SimFile {
    const copy = this.#durableCopy()
    copy.#changes = [...this.#changes]
    copy.#bytes = this.#bytes
    return copy
  }

  /** The file after a power cut. */
  cut(survival: Survival, choose: Choose): SimFile {
    const image = this.#durableCopy()
    // Chance first decides the extremes, because most faults show when one file lost all and another nothing.
    const extreme = survival === 'random' ? choose(3) : survival === 'all' ? 1 : 0
    if (extreme === 1) for (const change of this.#changes) image.#keep(change)
    if (extreme === 2) for (const change of this.#changes) image.#keepSome(change, choose)
    image.#bytes = image.#durableBytes
    return image
  }

  #durableCopy(): SimFile {
    const copy = new SimFile()
    this.#contentShared = true
    copy.#content = this.#content
    copy.#contentShared = true
    copy.#durableBytes = this.#durableBytes
    copy.#bytes = this.#durableBytes
    return copy
  }

  #keep(change: Change): void {
    if ('size' in change) {
      const shrinks = change.size < this.#durableBytes
      this.#own(change.size)
      if (shrinks) this.#content.fill(0, change.size, this.#durableBytes)
      this.#durableBytes = change.size
    } else this.#put(change.bytes, change.offset)
  }

  #keepSome(change: Change, choose: Choose): void {
    const fate = choose(4)
    if (fate === 0) return
    if (fate === 1 || 'size' in change) {
      this.#keep(change)
      return
    }
    const end = change.offset + change.bytes.length
    // The size can be on disk before the data: where the file has grown it then reads as zeros.
    this.#own(end)
    this.#durableBytes = Math.max(this.#durableBytes, end)
    if (fate === 2) return
    for (let at = change.offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES)
      if (choose(2) === 1) this.#put(change.bytes.subarray(at - change.offset, next - change.offset), at)
      at = next
    }
  }

  #put(bytes: Uint8Array, offset: number): void {
    this.#own(offset + bytes.length)
    this.#content.set(bytes, offset)
    this.#durableBytes = Math.max(this.#durableBytes, offset + bytes.length)
  }

  /** Makes the content this file's own, with room for `bytes`. */
  #own(bytes: number): void {
    if (!this.#contentShared && bytes <= this.#content.length) return
    // Grows by half, so that a file written piece by piece is copied a few times only.
    const room =
      bytes <= this.#content.length
        ? this.#content.length
        : Math.max(bytes, Math.ceil(this.#durableBytes * 1.5))
    const content = new Uint8Array(room)
    content.set(this.#content.subarray(0, this.#durableBytes))
    this.#content = content
    this.#contentShared = false
  }
}
