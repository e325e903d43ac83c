// What is taken away, one at a time: each checksum, length, chain and identity that stands between damaged bytes and a wrong answer. The
// text is that of the file without its types, and has to be there exactly once: a check that is moved or renamed is missed loudly.
import type { FileKind, ForgedKind } from './damage.js'

export interface Mutant {
  readonly name: string
  /** Damage of these files has to show it; or, where a checksum stands before it, fields that lie with their checksums made to agree. */
  readonly kind: FileKind | ForgedKind
  /** Below packages/. */
  readonly file: string
  readonly from: string
  readonly to: string
}

const READER = 'core/src/wal/reader.ts'
const FORMAT = 'core/src/wal/format.ts'
const SECTIONS = 'storage/src/segment/section-reader.ts'
const TOC = 'storage/src/segment/toc.ts'
const BYTES = 'storage/src/segment/bytes-column.ts'
const OPERATION = 'server/src/operation.ts'
const MANIFEST = 'storage/src/manifest/manifest.ts'
const MANIFEST_FORMAT = 'storage/src/manifest/format.ts'

function without(name: string, kind: FileKind | ForgedKind, file: string, from: string, to = ''): Mutant {
  return { name, kind, file, from, to }
}

export const MUTANTS: readonly Mutant[] = [
  without(
    'wal-file-crc',
    'wal',
    FORMAT,
    'if (view.getUint32(FILE.crc, true) !== kernels.crc32c(page.subarray(0, FILE.crc))) return void 0;',
  ),
  without(
    'wal-frame-crc',
    'wal',
    FORMAT,
    'if (crc !== kernels.crc32c(page.subarray(FRAME.magic, FRAME_HEADER_BYTES), seed())) return void 0;',
  ),
  without('wal-payload-crc', 'wal', READER, 'if (!payloadMatches(payload, frame)) break;'),
  without(
    'wal-database',
    'wal',
    READER,
    'header && Buffer.compare(header.database, database) !== 0',
    'false',
  ),
  without('wal-file-number', 'wal', READER, 'header && header.file !== file', 'false'),
  without('wal-file-length', 'wal', READER, 'header && header.fileBytes !== bytes', 'false'),
  without(
    'wal-header-there',
    'wal',
    READER,
    'index < rest.length - 1 || holdsFrames(readFile(fs, file.path, file.bytes), file.file)',
    'false',
  ),
  without('wal-first-file', 'wal', READER, 'first < 0 && (needed.length > 0 || floorLsn > 1)', 'false'),
  without(
    'wal-known-file',
    'wal',
    READER,
    '!found.some(({ header }) => header && header.file >= knownFile) && knownFile > 0',
    'false',
  ),
  without('wal-previous-file', 'wal', READER, 'previousFile !== this.#previousFile', 'false'),
  without(
    'wal-link',
    'wal',
    READER,
    'previousBatch !== this.batch || previousChain !== this.chain || firstBatch !== this.batch + 1',
    'false',
  ),
  without('wal-last-file', 'wal', READER, 'walk.stop.type === FRAME_TYPE.rotate', 'false'),
  without('wal-followed', 'wal', READER, 'followedBatch >= expected', 'false'),
  without('wal-durable-batch', 'wal', READER, '(headerAt(later)?.durableBatch ?? 0) >= expected', 'false'),
  without('wal-durable-lsn', 'wal', READER, 'walk.lsn <= durableLsn', 'false'),
  without(
    'wal-chain',
    'wal',
    READER,
    'frame.batch !== this.batch + 1 || frame.firstLsn !== this.lsn || frame.chain !== this.chain',
    'false',
  ),
  without('manifest-crc', 'manifest', MANIFEST_FORMAT, 'crc !== stored', 'false'),
  without('manifest-length', 'manifest', MANIFEST_FORMAT, 'stored2 !== length', 'false'),
  without('manifest-number', 'manifest', MANIFEST, 'decoded.manifest.number !== number', 'false'),
  without(
    'manifest-database',
    'manifest',
    'server/src/recovery.ts',
    'loaded.manifest.database === hex(database)',
    'true',
  ),
  without(
    'format-crc',
    'format',
    'server/src/folder.ts',
    'view.getUint32(OFFSET.crc, true) === kernels.crc32c(bytes.subarray(0, OFFSET.crc))',
    'true',
  ),
  without('format-length', 'format', 'server/src/folder.ts', 'stat.bytes === FORMAT_BYTES', 'true'),
  without('segment-identity', 'segment', SECTIONS, 'if (found === wanted) continue;', 'continue;'),
  without(
    'segment-footer-crc',
    'segment',
    'storage/src/segment/footer.ts',
    'checkCrc(view.getUint32(FOOTER_CRC, true), footerCrc(bytes), "footer", path, offset + FOOTER_CRC);',
  ),
  without(
    'segment-page-crc',
    'segment',
    SECTIONS,
    'if (computed !== stored) this.#throwCrc(computed, stored, what, where);',
  ),
  without(
    'segment-toc-crc',
    'segment',
    SECTIONS,
    'this.#check(toc, tocSeed(this.#uuid), tocCrc, "TOC", { offset: tocOffset });',
  ),
  without(
    'segment-header-crc',
    'segment',
    'storage/src/segment/header.ts',
    'view.getUint32(HEADER_CRC, true),\n    kernels',
    'kernels.crc32c(bytes.subarray(0, HEADER_CRC)),\n    kernels',
  ),
  without(
    'index-page-crc',
    'index',
    SECTIONS,
    'if (found !== crc)\n        this.#throwCrc(',
    'if (false)\n        this.#throwCrc(',
  ),
  without('segment-uuid', 'forged segment', SECTIONS, 'this.header.uuid !== this.footer.uuid', 'false'),
  without('section-alignment', 'forged segment', TOC, 'entry.offset % SECTION_ALIGNMENT !== 0', 'false'),
  without('section-overlap', 'forged segment', TOC, 'gap < 0', 'false'),
  without('section-twice', 'forged segment', TOC, 'kinds.has(entry.kind)', 'false'),
  without('page-order', 'forged segment', TOC, '!inOrder', 'false'),
  without('page-items', 'forged segment', TOC, 'items !== entry.items', 'false'),
  without(
    'bytes-column',
    'forged segment',
    BYTES,
    'if (fault !== void 0) throw reader.bad(fault',
    'if (false) throw reader.bad(fault',
  ),
  without('wal-frame-bounds', 'forged log', READER, '!fits || payloadBytes % 8 !== 0', 'false'),
  without('record-count', 'forged log', FORMAT, 'at === payload.length && records.length === count', 'true'),
  without(
    'operation-id',
    'forged log',
    OPERATION,
    'if (at + length > record.length) throw malformed("shorter than its ids");',
  ),
  without(
    'operation-payload',
    'forged log',
    OPERATION,
    'if (at + length > record.length) throw malformed("shorter than its payloads");',
  ),
]

/** Leaves out every third record: a harness that lets this pass proves nothing. */
export const CANARY: Mutant = without(
  'canary',
  'wal',
  READER,
  'if (this.lsn >= this.#floorLsn) this.records.push(',
  'if (this.lsn >= this.#floorLsn && this.lsn % 3 !== 0) this.records.push(',
)
