// Makes every checksum agree with bytes that were changed, so that what stands behind the checksums is reached. Offsets are those of
// docs/FORMAT.md; where pages, frames and sections lie is read from the file before it was changed.
import { kernels } from '@drift/native'

const { crc32c } = kernels
const PAGE = 4096
const FRAME_BYTES = 56

/** @returns the footer's CRC, which the manifest names. */
export function sealContainer(changed: Uint8Array, whole: Uint8Array): number {
  const [view, before] = [viewOf(changed), viewOf(whole)]
  const footer = whole.length - 64
  const toc = Number(before.getBigUint64(footer, true))
  const tocBytes = before.getUint32(footer + 8, true)
  const uuid = whole.subarray(footer + 32, footer + 48)
  const sections = Array.from({ length: tocBytes / 48 }, (_, i) => {
    const at = toc + i * 48
    const offset = Number(before.getBigUint64(at + 8, true))
    const end = offset + Number(before.getBigUint64(at + 16, true))
    return { at, kind: before.getUint16(at, true), offset, end, isPaged: before.getUint32(at + 36, true) > 0 }
  })
  for (const { kind, offset, end, isPaged } of sections) {
    const index = sections.find(other => isPaged && other.kind === (kind | 0x8000))
    for (let i = 0; index && index.offset + (i + 1) * 12 <= index.end; i++) {
      const at = index.offset + i * 12
      const from = offset + before.getUint32(at, true) * 64
      const to = at + 12 < index.end ? offset + before.getUint32(at + 12, true) * 64 : end
      view.setUint32(at + 4, crc32c(changed.subarray(from, to), seedOf(uuid, kind, i)), true)
    }
  }
  for (const { at, kind, offset, end, isPaged } of sections) {
    if (isPaged) continue
    const crc = crc32c(changed.subarray(offset, end), seedOf(uuid, kind, 0))
    view.setUint32(at + 32, crc, true)
    const paged = sections.find(other => other.isPaged && (other.kind | 0x8000) === kind)
    if (paged) view.setUint32(paged.at + 32, crc, true)
  }
  view.setUint32(60, crc32c(changed.subarray(0, 60)), true)
  view.setUint32(footer + 12, crc32c(changed.subarray(toc, toc + tocBytes), seedOf(uuid, 0xffff, 0)), true)
  const tail = Uint8Array.of(...changed.subarray(footer, footer + 56), ...changed.subarray(footer + 60))
  view.setUint32(footer + 56, crc32c(tail), true)
  return view.getUint32(footer + 56, true)
}

function seedOf(uuid: Uint8Array, kind: number, page: number): number {
  const place = new Uint8Array(22)
  place.set(uuid)
  viewOf(place).setUint16(16, kind, true)
  viewOf(place).setUint32(18, page, true)
  return crc32c(place)
}

/** The frames of a log file: where they lie, and the bytes of their payloads. */
export function framesOf(file: Uint8Array): { readonly at: number; readonly bytes: number }[] {
  const frames = []
  for (let at = PAGE; at < file.length && viewOf(file).getUint32(at + 4, true) === 0x31524644; ) {
    const bytes = viewOf(file).getUint32(at + 8, true)
    frames.push({ at, bytes })
    at += Math.ceil((FRAME_BYTES + bytes) / PAGE) * PAGE
  }
  return frames
}

/** @param keep - a frame's offset whose chain stays as it is. */
export function sealLog(changed: Uint8Array, whole: Uint8Array, keep = -1): void {
  const view = viewOf(changed)
  view.setUint32(PAGE - 4, crc32c(changed.subarray(0, PAGE - 4)), true)
  const seed = new Uint8Array(24)
  seed.set(changed.subarray(40, 48), 0)
  seed.set(changed.subarray(32, 40), 8)
  let chain = view.getUint32(40, true)
  for (const { at, bytes } of framesOf(whole)) {
    viewOf(seed).setBigUint64(16, BigInt(at), true)
    const said = view.getUint32(at + 8, true)
    const payload = at + FRAME_BYTES + said <= changed.length ? said : bytes
    const from = at + FRAME_BYTES
    if (at !== keep) view.setUint32(at + 48, chain, true)
    view.setUint32(
      at + 52,
      crc32c(changed.subarray(from, from + payload), view.getUint32(at + 28, true)),
      true,
    )
    view.setUint32(at, crc32c(changed.subarray(at + 4, from), crc32c(seed)), true)
    const both = Uint8Array.of(...changed.subarray(at, at + 4), ...changed.subarray(at + 52, from))
    chain = crc32c(both)
  }
}

/** A manifest with another body. */
export function sealManifest(whole: Uint8Array, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(48 + body.length)
  bytes.set(whole.subarray(0, 32))
  bytes.set(body, 32)
  bytes.set(whole.subarray(0, 8), 40 + body.length)
  const view = viewOf(bytes)
  view.setUint32(12, body.length, true)
  view.setUint32(32 + body.length, body.length, true)
  view.setUint32(36 + body.length, crc32c(bytes.subarray(0, 36 + body.length)), true)
  return bytes
}

export function sealFormat(bytes: Uint8Array): void {
  viewOf(bytes).setUint32(60, crc32c(bytes.subarray(0, 60)), true)
}

/** What `encodeFloats` gives: a table of pages, each with a CRC, and the CRC of the table. */
export function sealFloats(bytes: Uint8Array): void {
  const view = viewOf(bytes)
  if (bytes.length < 32) return
  const table = Math.min(bytes.length, 32 + 8 * view.getUint32(16, true))
  for (let entry = 32, at = table; entry + 8 <= table; entry += 8) {
    const end = at + view.getUint32(entry, true)
    view.setUint32(entry + 4, crc32c(bytes.subarray(at, end)), true)
    at = end
  }
  view.setUint32(28, crc32c(bytes.subarray(32, table), crc32c(bytes.subarray(0, 28))), true)
}

/** What `encodeIds` gives. */
export function sealIds(bytes: Uint8Array): void {
  if (bytes.length < 24) return
  viewOf(bytes).setUint32(16, crc32c(bytes.subarray(20), crc32c(bytes.subarray(0, 16))), true)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
