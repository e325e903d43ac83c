/**
 * What a segment or tombstone file says about its rows as a whole, in the order of the fields below: six u64.
 * The digest (XOR of every id's XXH64) ties the ids to what was meant to be written, whatever their order.
 */
import { kernels } from '@drift/native'
import { getU64, SectionKind, setU64, viewOf } from './format.js'
import type { SectionReader } from './section-reader.js'

export interface Stats {
  readonly rows: number
  /** The log sequence numbers of the writes that the rows came from, both included. */
  readonly lsnLow: number
  readonly lsnHigh: number
  readonly idDigest: bigint
  readonly payloadRows: number
  readonly payloadBytes: number
}

const STATS_ROWS = 0
const STATS_LSN_LOW = STATS_ROWS + 8
const STATS_LSN_HIGH = STATS_LSN_LOW + 8
const STATS_ID_DIGEST = STATS_LSN_HIGH + 8
const STATS_PAYLOAD_ROWS = STATS_ID_DIGEST + 8
const STATS_PAYLOAD_BYTES = STATS_PAYLOAD_ROWS + 8
const STATS_BYTES = STATS_PAYLOAD_BYTES + 8

export function encodeStats(stats: Stats): Uint8Array {
  const bytes = new Uint8Array(STATS_BYTES)
  const view = viewOf(bytes)
  setU64(view, STATS_ROWS, stats.rows)
  setU64(view, STATS_LSN_LOW, stats.lsnLow)
  setU64(view, STATS_LSN_HIGH, stats.lsnHigh)
  view.setBigUint64(STATS_ID_DIGEST, stats.idDigest, true)
  setU64(view, STATS_PAYLOAD_ROWS, stats.payloadRows)
  setU64(view, STATS_PAYLOAD_BYTES, stats.payloadBytes)
  return bytes
}

/** Checked against the footer. A longer section is one of a later version: what is known of it is read. */
export function readStats(reader: SectionReader): Stats {
  const bytes = reader.section(SectionKind.stats)
  const where = { section: SectionKind.stats }
  if (bytes.length < STATS_BYTES) throw reader.bad(`has ${bytes.length} bytes`, where)
  const view = viewOf(bytes)
  const stats: Stats = {
    rows: getU64(view, STATS_ROWS, reader.path),
    lsnLow: getU64(view, STATS_LSN_LOW, reader.path),
    lsnHigh: getU64(view, STATS_LSN_HIGH, reader.path),
    idDigest: view.getBigUint64(STATS_ID_DIGEST, true),
    payloadRows: getU64(view, STATS_PAYLOAD_ROWS, reader.path),
    payloadBytes: getU64(view, STATS_PAYLOAD_BYTES, reader.path),
  }
  if (stats.rows !== reader.footer.rows || stats.lsnLow > stats.lsnHigh || stats.payloadRows > stats.rows) {
    const what = `has ${stats.rows} rows, ${stats.payloadRows} payloads, LSN ${stats.lsnLow} to ${stats.lsnHigh}`
    throw reader.bad(what, where)
  }
  return stats
}

export function digestIds(ids: readonly Uint8Array[]): bigint {
  return digestOf(ids.map(id => kernels.hash64(id)))
}

/** @param hashes - XXH64 of each id. */
export function digestOf(hashes: readonly bigint[]): bigint {
  return hashes.reduce((digest, hash) => digest ^ hash, 0n)
}
