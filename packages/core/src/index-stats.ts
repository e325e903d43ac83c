/** What an index holds, counted: rows, buckets, and bytes by what they are for. */
import type { IndexState } from './index-state.js'
import type { Memtable } from './memtable.js'

export interface IndexStats {
  readonly rows: number
  /** Dead and not yet free for reuse. */
  readonly deadRows: number
  /** Bucket numbers: those, too, that are empty and wait to be used again. */
  readonly buckets: number
  readonly memtables: number
  /** Rows in no memtable and no bucket: every search scans them. */
  readonly unassigned: number
  /** Rows in the graphs of memtables. */
  readonly linkedRows: number
  /** Bytes in use; room for growth that was never touched takes none. Rows that died and are not reused yet count. */
  readonly memory: {
    readonly vectors: number
    readonly codes: number
    readonly ids: number
    readonly graph: number
    readonly buckets: number
    readonly router: number
    /** What searches in this thread work in, and copies for those in others. */
    readonly working: number
  }
}

/** @param searchBytes - that searches in this thread work in. */
export function statsOf(state: IndexState, searchBytes: number): IndexStats {
  const { store, directory, router, memtables, unassigned, workingBytes } = state
  const { bytes } = store
  const sum = (of: (memtable: Memtable) => number) =>
    memtables.reduce((total, memtable) => total + of(memtable), 0)
  return {
    rows: store.liveRows,
    deadRows: store.rows - store.liveRows - store.freeRows,
    buckets: directory.count,
    memtables: memtables.length,
    unassigned: unassigned.count,
    linkedRows: sum(memtable => memtable.linked),
    memory: {
      vectors: bytes.vectors,
      codes: bytes.codes,
      ids: store.ids.bytes(store.rows),
      graph: sum(memtable => memtable.bytes),
      buckets: directory.bytes + bytes.rows,
      router: router.bytes,
      working: workingBytes + searchBytes,
    },
  }
}
