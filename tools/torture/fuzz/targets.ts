// What is fuzzed: the files of a small database, one changed at a time with every checksum made to agree, and bytes that come from outside.
// Each draw gives an action that has to end in a coded error or in some content.
import { seededRandom } from '@drift/core'
import type { SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { decodeFloats, decodeIds, encodeFloats, encodeIds, IdFilter } from '@drift/storage'
import { contentOf, put } from '../files.js'
import type { Samples } from '../mutants/damage.js'
import { FOLDER } from '../power/world.js'
import { framesOf, sealContainer, sealFloats, sealFormat, sealIds, sealLog, sealManifest } from './seal.js'

/** A whole number in 0 .. below - 1. */
export type Draw = (below: number) => number

export interface Case {
  /** Opened, read, checked and closed. */
  readonly disk?: SimFs
  /** Decoded. */
  readonly decode?: () => unknown
  /** Imported from Arrow. */
  readonly arrow?: Uint8Array
  /** The input's own size. */
  readonly bytes: number
}

export type Target = (draw: Draw) => Case

/** @param arrow - for the target of that name. */
export function targetsOf(
  samples: Samples,
  arrow: Uint8Array = new Uint8Array(0),
): Readonly<Record<string, Target>> {
  const files = (pattern: RegExp): string[] =>
    samples.killed
      .list(FOLDER)
      .filter(name => pattern.test(name))
      .map(name => `${FOLDER}/${name}`)
  const changed =
    (pattern: RegExp, change: (disk: SimFs, path: string, draw: Draw) => void): Target =>
    draw => {
      const disk = samples.killed.processKill()
      const found = files(pattern)
      change(disk, found[draw(found.length)]!, draw)
      return { disk, bytes: folderBytes(disk) }
    }
  const decoder =
    (
      whole: readonly Uint8Array[],
      decode: (bytes: Uint8Array) => unknown,
      seal: (bytes: Uint8Array) => void = () => {},
    ): Target =>
    draw => {
      const bytes = scrambled(whole[draw(whole.length)]!, draw)
      if (draw(16) > 0) seal(bytes)
      return { decode: () => decode(bytes), bytes: bytes.length }
    }
  const filter = IdFilter.create(40, 0.01)
  for (let i = 0; i < 40; i++) filter.add(Uint8Array.of(i))
  return {
    format: changed(/FORMAT$/, (disk, path, draw) => {
      const bytes = scrambled(contentOf(disk, path), draw)
      if (bytes.length >= 64) sealFormat(bytes)
      put(disk, path, bytes)
    }),
    manifest: changed(/manifest-/, changeManifest),
    log: changed(/wal-/, changeLog),
    segment: changed(/seg-/, changeContainer),
    tombstones: changed(/del-/, changeContainer),
    index: changed(/idx-/, changeContainer),
    folders: changed(/^[^L]/, (disk, path) => {
      disk.remove(path)
      disk.makeFolder(path)
    }),
    ids: decoder(idColumns(), bytes => decodeIds(bytes, 10_000), sealIds),
    floats: decoder(floatPages(), bytes => decodeFloats(bytes, 10_000), sealFloats),
    bloom: decoder([filter.toBytes()], bytes => {
      const read = IdFilter.fromBytes(bytes, 'fuzz')
      return [read.mightContain(Uint8Array.of(1)), read.mightContain(new Uint8Array(0))]
    }),
    arrow: draw => {
      const bytes = scrambled(arrow, draw)
      return { arrow: bytes, bytes: bytes.length }
    },
  }
}

/** Of all files below a folder. */
function folderBytes(disk: SimFs): number {
  return disk.list(FOLDER).reduce((sum, name) => sum + disk.stat(`${FOLDER}/${name}`)!.bytes, 0)
}

/** The values that break arithmetic, at the widths of fields. */
const EXTREMES = [
  0n,
  1n,
  2n,
  7n,
  0x7fn,
  0x80n,
  0xffn,
  0xffffn,
  0x7fff_fff0n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_fff8n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x20_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
] as const

/** One to three fields changed: to an extreme, by a little, by a bit, or to what stands elsewhere; sometimes cut or grown. */
function scrambled(whole: Uint8Array, draw: Draw, from = 0, to: number = whole.length): Uint8Array {
  const bytes = whole.slice()
  const view = new DataView(bytes.buffer)
  for (let left = 1 + draw(3); left > 0 && to > from; left--) {
    const width = [1, 2, 4, 8][draw(4)]!
    const at = from + Math.floor(draw(Math.max(1, to - from - width + 1)) / width) * width
    if (at + width > bytes.length) continue
    const value = width === 8 ? view.getBigUint64(at, true) : BigInt(numberAt(view, at, width))
    const other = EXTREMES[draw(EXTREMES.length)]!
    const next = [other, value + 1n, value - 1n, value ^ (1n << BigInt(draw(width * 8))), value * 2n, -value][
      draw(6)
    ]!
    for (let i = 0; i < width; i++) bytes[at + i] = Number((next >> BigInt(8 * i)) & 0xffn)
  }
  if (from === 0 && to === whole.length && draw(8) === 0) return bytes.slice(0, draw(bytes.length))
  return bytes
}

function numberAt(view: DataView, at: number, width: number): number {
  return width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at, true) : view.getUint32(at, true)
}

function changeContainer(disk: SimFs, path: string, draw: Draw): void {
  const whole = contentOf(disk, path)
  const view = new DataView(whole.buffer)
  const footer = whole.length - 64
  const toc = Number(view.getBigUint64(footer, true))
  const section = toc + 48 * draw((footer - toc) / 48)
  const offset = Number(view.getBigUint64(section + 8, true))
  const length = Number(view.getBigUint64(section + 16, true))
  const [from, to] = [
    [0, 64],
    [toc, footer],
    [footer, whole.length],
    // Where sections begin they have their counts and lengths.
    [offset, offset + Math.min(length, 64)],
    [offset, offset + length],
    [offset, offset + length],
  ][draw(6)] as [number, number]
  const bytes = scrambled(whole, draw, from, to)
  const footerCrc = sealContainer(bytes, whole)
  put(disk, path, bytes)
  const name = path.slice(FOLDER.length + 1)
  editManifests(disk, body => {
    for (const entry of entriesOf(body)) if (entry['name'] === name) entry['footerCrc'] = footerCrc
  })
}

function changeLog(disk: SimFs, path: string, draw: Draw): void {
  const whole = contentOf(disk, path)
  const frames = framesOf(whole)
  const frame = frames[draw(frames.length)]
  const kind = draw(6)
  const [from, to] =
    !frame || kind === 0
      ? [8, 96]
      : kind === 1
        ? [frame.at + 8, frame.at + 52]
        : kind === 2
          ? [frame.at + 56, frame.at + 56 + frame.bytes]
          : // Length of the first record, and the fields of its operation.
            [frame.at + 56, frame.at + 56 + Math.min(frame.bytes, 96)]
  const bytes = scrambled(whole, draw, from, to)
  sealLog(bytes, whole, draw(4) === 0 ? frame?.at : undefined)
  put(disk, path, bytes)
}

type Body = Record<string, unknown>

/** Something of the JSON becomes something else. */
function changeManifest(disk: SimFs, _path: string, draw: Draw): void {
  const seed = draw(2 ** 30)
  editManifests(disk, body => {
    // Both manifests the same way, so that the older one is no way out.
    const same = repeated(seed)
    for (let left = 1 + same(2); left > 0; left--) changeValue(body, same)
  })
}

const VALUES: readonly unknown[] = [
  0,
  1,
  -1,
  0.5,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e308,
  8193,
  null,
  true,
  '',
  'x',
  '../x',
  '0'.repeat(32),
  [],
  {},
  [{}],
  [[]],
]

function changeValue(body: Body, draw: Draw): void {
  const places: [Record<string, unknown>, string][] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, child] of Object.entries(value)) {
      places.push([value as Record<string, unknown>, key])
      visit(child)
    }
  }
  visit(body)
  const [parent, key] = places[draw(places.length)]!
  const value = parent[key]
  const other = places[draw(places.length)]!
  const action = draw(6)
  if (action === 0) delete parent[key]
  else if (action === 1 && Array.isArray(value)) value.push(...value)
  else if (action === 2) parent[`${key}x`] = value
  else if (action === 3) parent[key] = structuredClone(other[0][other[1]])
  else if (action === 4 && typeof value === 'number') parent[key] = value + [1, -1, 4096, 2 ** 20][draw(4)]!
  else parent[key] = VALUES[draw(VALUES.length)]
}

function editManifests(disk: SimFs, edit: (body: Body) => void): void {
  for (const name of disk.list(FOLDER).filter(name => name.startsWith('manifest-'))) {
    const path = `${FOLDER}/${name}`
    const whole = contentOf(disk, path)
    const body = JSON.parse(Buffer.from(whole.subarray(32, -16)).toString()) as Body
    edit(body)
    put(disk, path, sealManifest(whole, Buffer.from(JSON.stringify(body))))
  }
}

function entriesOf(body: Body): Body[] {
  return (body['collections'] as Body[]).flatMap(({ segments, tombstones, checkpoint }) => [
    ...(segments as Body[]),
    ...(tombstones as Body[]),
    ...(checkpoint ? [checkpoint as Body] : []),
  ])
}

function idColumns(): Uint8Array[] {
  const ids = (of: (i: number) => bigint): Uint8Array =>
    encodeIds(BigUint64Array.from({ length: 300 }, (_, i) => of(i)))
  const mixed = (i: number): bigint => BigInt(kernels.crc32c(Uint8Array.of(i, i >> 8)))
  return [
    ids(i => BigInt(i * 3)),
    ids(i => BigInt(i * i)),
    ids(mixed),
    ids(i => mixed(i) ** 2n),
    ids(i => BigInt(i & 7) + 10n ** 12n),
  ]
}

function floatPages(): Uint8Array[] {
  const floats = (of: (i: number) => number): Uint8Array =>
    encodeFloats(Float32Array.from({ length: 300 }, (_, i) => of(i)))
  return [
    floats(() => 0.5),
    floats(i => i / 10),
    floats(i => Math.sin(i)),
    floats(i => (i % 7 === 0 ? 1e30 : i)),
  ]
}

/** The same draws from the same seed. */
function repeated(seed: number): Draw {
  const random = seededRandom(seed)
  return below => Math.floor(random() * below)
}
