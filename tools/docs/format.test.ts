// Proves that docs/FORMAT.md is enough: a reader that was written from it alone prints the rows that `scan` gives, to the bit, and the
// worked example in it is what the engine writes.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '@drift/core'
import { SimFs } from '@drift/fs'
import { Drift } from '@drift/server'
import { commitManifest, manifestName, writeTombstones } from '@drift/storage'
import { afterAll, describe, expect, it } from 'vitest'
import { writeFolder } from '../torture/power-trace/folder-copy.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const READER = join(ROOT, 'tools/format-reader/read.py')
const folder = mkdtempSync(join(tmpdir(), 'drift-format-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Offset of a segment's first float page, which starts with its codec. */
const FIRST_PAGE = 4096

type Line = { collection: string; id: Record<string, string>; vector: string; payload: unknown }

function readByPython(path: string): Line[] {
  const text = execFileSync('python3', [READER, path], { encoding: 'utf8', maxBuffer: 1 << 28 })
  return inOrder(
    text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Line),
  )
}

async function readByScan(db: Drift): Promise<Line[]> {
  const lines: Line[] = []
  for (const name of db.collections()) {
    const collection = await db.collection(name)
    for await (const { id, vector, payload } of collection.scan()) {
      lines.push({
        collection: name,
        id: { [typeof id]: String(id) },
        vector: Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('hex'),
        payload: payload ?? null,
      })
    }
  }
  return inOrder(lines)
}

function inOrder(lines: Line[]): Line[] {
  const key = ({ collection, id }: Line) => `${collection} ${JSON.stringify(id)}`
  return lines.sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** Values that each codec of a page is chosen for. */
const SHAPES: Record<string, (i: number, random: () => number) => number> = {
  RAW: (_, random) => new Float32Array(Uint32Array.of(Math.floor(random() * 2 ** 32)).buffer)[0]!,
  CONST: () => 0.25,
  ALP: (i, random) => (i % 97 === 0 ? Math.PI * random() : Math.floor(random() * 5000) / 100),
  'ALP-RD': (i, random) => (i % 401 === 0 ? 1e14 * random() : (random() + random() + random() - 1.5) * 0.1),
}

describe('docs/FORMAT.md', () => {
  it('lets another language read every row: all codecs, all kinds of ids, files and log', async () => {
    const path = join(folder, 'db')
    const db = await Drift.open(path, { walFileBytes: 65_536, threads: 0 })
    const random = seededRandom(7)
    for (const [codec, value] of Object.entries(SHAPES)) {
      const docs = await db.collection(codec, { dim: 48, metric: 'l2', memtableRows: 300 })
      for (let round = 0; round < 3; round++) {
        const rows = Array.from({ length: 120 }, (_, i) => {
          const n = round * 60 + i
          const vector = Float32Array.from({ length: 48 }, (_, j) => value(n * 48 + j, random))
          const id = [n, `zeile-${n}-é`, BigInt(n) << 40n, -BigInt(n) - 1n][n % 4]!
          for (let j = 0; j < 48; j++) if (!(Math.abs(vector[j]!) < 1e15)) vector[j] = -0
          return n % 5 === 0 ? { id, vector } : { id, vector, payload: { n, text: 'é'.repeat(n % 7) } }
        })
        await docs.upsert(rows)
        await docs.delete(rows.slice(0, 9).map(({ id }) => id))
        if (round < 2) await docs.flush()
      }
    }
    const unit = await db.collection('unit', { dim: 4, metric: 'cosine' })
    await unit.upsert({
      ids: [...Array(400).keys()],
      vectors: Float32Array.from({ length: 1600 }, () => random() - 0.5),
    })
    await unit.flush()
    // The log then holds vectors of unit length: divided once more, some would lose a bit.
    await unit.updatePayload({ filter: {} }, { seen: true })
    const gone = await db.collection('gone', { dim: 2 })
    await gone.upsert([{ id: 1, vector: [1, 2] }])
    await db.drop('gone')
    const expected = await readByScan(db)
    expect(expected.length).toBeGreaterThan(700)
    // Also while the database is open, and as a crash leaves it.
    expect(readByPython(path)).toEqual(expected)
    await db.close()
    expect(readByPython(path)).toEqual(expected)
    const segments = readdirSync(path).filter(name => name.startsWith('seg-'))
    const codecs = new Set(segments.map(name => readFileSync(join(path, name))[FIRST_PAGE]))
    expect([...codecs].sort()).toEqual([0, 1, 2, 3])
  }, 120_000)

  it('lets it apply the files in an order that holds when some were brought together', async () => {
    const path = join(folder, 'compacted')
    const disk = new SimFs()
    const db = await Drift.open('/db', { fs: disk, threads: 0, walFileBytes: 65_536 })
    const docs = await db.collection('docs', { dim: 2, memtableRows: 8192, metric: 'l2' })
    const vectors = Float32Array.from({ length: 8400 }, (_, i) => i % 97)
    await docs.upsert({ ids: [...Array(4200).keys()], vectors })
    await docs.flush()
    // Four small segments, the third with an id that the second one's deletions name.
    for (const id of ['a', 'b', 7, 'c']) {
      await docs.upsert([{ id, vector: [4, 3] }])
      if (id === 'b') await docs.delete([7, 8])
      await docs.flush()
    }
    for (let turns = 0; (await docs.stats()).segments > 2 && turns < 10_000; turns++)
      await new Promise(resolve => setImmediate(resolve))
    expect(await docs.stats()).toMatchObject({ rows: 4202, segments: 2 })
    const expected = await readByScan(db)
    await db.close()
    writeFolder(disk, path)
    expect(readByPython(join(path, 'db'))).toEqual(expected)
  })

  it('says when a byte is wrong', async () => {
    const path = join(folder, 'damaged')
    const db = await Drift.open(path, { threads: 0 })
    const docs = await db.collection('docs', { dim: 2 })
    await docs.upsert([{ id: 1, vector: [1, 2] }])
    await docs.flush()
    await db.close()
    const segment = join(path, 'seg-0000000000000001.drs')
    const bytes = readFileSync(segment)
    bytes[4100]! ^= 1
    writeFileSync(segment, bytes)
    expect(() => execFileSync('python3', [READER, path], { stdio: 'pipe' })).toThrow('section 1 page 0')
  })

  it('holds a worked example that is what the engine writes', () => {
    const fs = new SimFs()
    const uuid = '000102030405060708090a0b0c0d0e0f'
    const entry = writeTombstones(fs, '/', 'del-0000000000000003.drt', {
      uuid,
      ids: [Uint8Array.of(4, 0x61), Uint8Array.of(1, 7, 0, 0, 0, 0, 0, 0, 0)],
      lsnLow: 5,
      lsnHigh: 6,
    })
    commitManifest(
      fs,
      '/',
      {
        number: 1,
        database: uuid,
        floorLsn: 7,
        durableLsn: 6,
        nextCollection: 1,
        nextFile: 4,
        collections: [],
      },
      0,
    )
    const text = readFileSync(join(ROOT, 'docs/FORMAT.md'), 'utf8')
    for (const name of [entry.name, manifestName(1)]) expect(text).toContain(hexDump(fs, name))
  })
})

/** As `hexdump -C` prints it, equal lines as one star. */
function hexDump(fs: SimFs, name: string): string {
  const bytes = new Uint8Array(fs.stat(`/${name}`)!.bytes)
  fs.read(fs.open(`/${name}`, 'read'), bytes, 0)
  const lines: string[] = []
  let last = ''
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const hex = Array.from(row, byte => byte.toString(16).padStart(2, '0')).join(' ')
    const text = Array.from(row, byte =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('')
    if (hex === last && at + 16 < bytes.length) {
      if (lines.at(-1) !== '*') lines.push('*')
      continue
    }
    last = hex
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}`)
  }
  return lines.join('\n')
}
