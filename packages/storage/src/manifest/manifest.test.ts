/** Proves that a commit is whole or absent, that one damaged generation is survived and reported, and that the body is never trusted. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FaultFs, NodeFs, SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { bytesOf, diskWith, outcome, putFile } from '../../test/damage.js'
import { FOLDER, manifest } from '../../test/fixture.js'
import {
  commitManifest,
  loadManifest,
  type Manifest,
  manifestName,
  readManifests,
  removeOldManifests,
} from '../index.js'
import { viewOf } from '../segment/format.js'
import { decodeManifest, encodeManifest } from './format.js'

function emptyDisk(): SimFs {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  disk.syncFolder('/')
  return disk
}

/** Manifests 1 .. count, each on top of the one before. */
function diskWithManifests(count: number): SimFs {
  const disk = emptyDisk()
  let crc = 0
  for (let number = 1; number <= count; number++) crc = commitManifest(disk, FOLDER, manifest(number), crc)
  return disk
}

function damage(disk: SimFs, number: number): void {
  const path = `${FOLDER}/${manifestName(number)}`
  const bytes = bytesOf(disk, manifestName(number))
  const fd = disk.open(path, 'write')
  disk.write(fd, Uint8Array.of(bytes[40]! ^ 1), 40)
  disk.close(fd)
}

/** A manifest file whose checksum agrees and whose body is `body`. */
function withBody(body: string): Uint8Array {
  const text = new TextEncoder().encode(body)
  const { bytes: model } = encodeManifest(manifest(1), 0)
  const bytes = new Uint8Array(32 + text.length + 16)
  const view = viewOf(bytes)
  bytes.set(model.subarray(0, 32))
  view.setUint32(12, text.length, true)
  bytes.set(text, 32)
  view.setUint32(32 + text.length, text.length, true)
  view.setUint32(36 + text.length, kernels.crc32c(bytes.subarray(0, 36 + text.length)), true)
  bytes.set(model.subarray(0, 8), 40 + text.length)
  return bytes
}

describe('the manifest', () => {
  it('loads as it was committed, on a real disk', () => {
    const folder = mkdtempSync(join(tmpdir(), 'drift-manifest-'))
    const fs = new NodeFs()
    expect(loadManifest(fs, folder)).toBeUndefined()
    const crc = commitManifest(fs, folder, manifest(1), 0)
    expect(loadManifest(fs, folder)).toEqual({ manifest: manifest(1), crc, previousCrc: 0, nextNumber: 2 })
    commitManifest(fs, folder, manifest(2, { collections: [] }), crc)
    expect(loadManifest(fs, folder)).toMatchObject({
      manifest: manifest(2, { collections: [] }),
      previousCrc: crc,
      nextNumber: 3,
    })
    expect(fs.list(folder)).toEqual([
      'manifest-00000000000000000001.drm',
      'manifest-00000000000000000002.drm',
    ])
    rmSync(folder, { recursive: true })
  })

  it('that is a link to nothing is a damaged one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'drift-manifest-'))
    const fs = new NodeFs()
    symlinkSync('nothing', join(folder, manifestName(2)))
    expect(() => loadManifest(fs, folder)).toThrow(
      expect.objectContaining({
        code: 'DRIFT_CORRUPT_DECODE',
        message: expect.stringContaining('leads to no file'),
      }),
    )
    commitManifest(fs, folder, manifest(1), 0)
    const error = expect.objectContaining({ code: 'DRIFT_CORRUPT_MAGIC' })
    expect(loadManifest(fs, folder)).toMatchObject({
      manifest: manifest(1),
      nextNumber: 3,
      damaged: { name: manifestName(2), error },
    })
    rmSync(folder, { recursive: true })
  })

  it('falls back to the one before when the newest is damaged, and says so', () => {
    const disk = diskWithManifests(3)
    damage(disk, 3)
    expect(loadManifest(disk, FOLDER)).toMatchObject({
      manifest: { number: 2 },
      nextNumber: 4,
      damaged: { name: manifestName(3), error: { code: 'DRIFT_CORRUPT_CRC' } },
    })
  })

  it('falls back when the newest is on sectors that cannot be read', () => {
    const disk = new FaultFs(diskWithManifests(2), [{ at: 1, errno: 'EIO', operation: 'read' }])
    expect(loadManifest(disk, FOLDER)).toMatchObject({
      manifest: { number: 1 },
      damaged: { error: { code: 'DRIFT_FS_EIO' } },
    })
  })

  it('falls back one generation and no further, since older files are gone', () => {
    const disk = diskWithManifests(3)
    damage(disk, 3)
    damage(disk, 2)
    expect(outcome(() => loadManifest(disk, FOLDER))).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
    const single = diskWithManifests(1)
    damage(single, 1)
    expect(outcome(() => loadManifest(single, FOLDER))).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
  })

  it('is not taken under another number', () => {
    const disk = diskWithManifests(2)
    putFile(disk, manifestName(9), bytesOf(disk, manifestName(2)))
    expect(loadManifest(disk, FOLDER)).toMatchObject({
      manifest: { number: 2 },
      nextNumber: 10,
      damaged: { name: manifestName(9), error: { code: 'DRIFT_CORRUPT_IDENTITY' } },
    })
  })

  it('is looked for among its own names only', () => {
    const disk = diskWithManifests(1)
    for (const name of [
      'manifest-3.drm',
      'manifest-00000000000000000003.drm.tmp',
      'manifest-99999999999999999999.drm',
      'x',
    ]) {
      putFile(disk, name, new Uint8Array(3))
    }
    expect(loadManifest(disk, FOLDER)).toMatchObject({ manifest: { number: 1 }, nextNumber: 2 })
  })

  it('is read with all that are in the folder, the newest first, damaged ones as such', () => {
    const disk = diskWithManifests(3)
    damage(disk, 2)
    disk.makeFolder(`${FOLDER}/${manifestName(4)}`)
    const found = readManifests(disk, FOLDER)
    expect(found).toMatchObject([
      { name: manifestName(4), bytes: 0, damage: { code: 'DRIFT_CORRUPT_MAGIC' } },
      { number: 3, decoded: { manifest: manifest(3) } },
      { number: 2, bytes: bytesOf(disk, manifestName(2)).length, damage: { code: 'DRIFT_CORRUPT_CRC' } },
      { number: 1, decoded: { manifest: manifest(1), previousCrc: 0 } },
    ])
  })

  it('is left out when its writer has just removed it', () => {
    const disk = new FaultFs(diskWithManifests(3), [{ at: 2, errno: 'ENOENT', operation: 'open' }])
    expect(readManifests(disk, FOLDER).map(({ number }) => number)).toEqual([3, 1])
  })

  it('keeps itself and the one before when old ones are removed', () => {
    const disk = diskWithManifests(5)
    removeOldManifests(disk, FOLDER, 5)
    expect(disk.list(FOLDER)).toEqual([manifestName(4), manifestName(5)])
    removeOldManifests(disk, FOLDER, 4)
    expect(disk.list(FOLDER)).toEqual([manifestName(4), manifestName(5)])
  })

  it('is committed under each number once', () => {
    const disk = diskWithManifests(2)
    const again = () => commitManifest(disk, FOLDER, manifest(2, { floorLsn: 0 }), 0)
    expect(again).toThrow(expect.objectContaining({ code: 'DRIFT_MANIFEST_EXISTS' }))
    expect(loadManifest(disk, FOLDER)!.manifest).toEqual(manifest(2))
  })

  it('is the old or the new one after a power cut at any moment of a commit', () => {
    const seen = new Set<number>()
    const before = (disk: SimFs) => {
      for (let seed = 0; seed < 12; seed++) {
        const { manifest: found, damaged } = loadManifest(disk.powerCut({ seed }), FOLDER)!
        expect(damaged).toBeUndefined()
        expect(found).toEqual(manifest(found.number))
        seen.add(found.number)
      }
    }
    let watched: SimFs | undefined
    const disk = new SimFs({ before: () => watched && before(watched) })
    disk.makeFolder(FOLDER)
    disk.syncFolder('/')
    const crc = commitManifest(disk, FOLDER, manifest(1), 0)
    watched = disk
    commitManifest(disk, FOLDER, manifest(2), crc)
    watched = undefined
    expect(seen).toEqual(new Set([1, 2]))
    expect(loadManifest(disk.powerCut({ data: 'none', entries: 'none' }), FOLDER)!.manifest.number).toBe(2)
  })

  it('is the old or the new one after any failure of the disk, and can be committed again', () => {
    for (let at = 1; ; at++) {
      const disk = diskWithManifests(1)
      const { crc } = loadManifest(disk, FOLDER)!
      const faulty = new FaultFs(disk, [{ at, errno: 'ENOSPC', written: 0.5 }])
      let failed = false
      try {
        commitManifest(faulty, FOLDER, manifest(2), crc)
      } catch (error) {
        expect(error).toMatchObject({ code: 'DRIFT_FS_ENOSPC' })
        failed = true
      }
      const found = loadManifest(disk, FOLDER)!
      expect(found).not.toHaveProperty('damaged')
      commitManifest(disk, FOLDER, manifest(found.nextNumber), found.crc)
      expect(loadManifest(disk, FOLDER)!.manifest).toEqual(manifest(found.nextNumber))
      if (!failed) {
        expect(at).toBeGreaterThan(6)
        break
      }
    }
  })
})

describe('manifests that are removed while they are read', () => {
  /** A disk whose writer commits so many manifests when the first one is about to be read, or whenever one is. */
  class BusyFs extends FaultFs {
    readonly #disk: SimFs
    readonly #each: number
    #commits: number

    constructor(disk: SimFs, commits: number, isEndless = false) {
      super(disk, [])
      this.#disk = disk
      this.#each = isEndless ? commits : 0
      this.#commits = commits
    }

    override open(path: string, mode: 'read' | 'write' | 'create'): number {
      for (; this.#commits > 0; this.#commits--) {
        const { number } = readManifests(this.#disk, FOLDER)[0]!
        commitManifest(this.#disk, FOLDER, manifest(number + 1), 0)
        removeOldManifests(this.#disk, FOLDER, number + 1)
      }
      this.#commits = this.#each
      return super.open(path, mode)
    }
  }

  it('have newer ones, which are found', () => {
    expect(loadManifest(new BusyFs(diskWithManifests(2), 2), FOLDER)!.manifest.number).toBe(4)
  })

  it('have newer ones, which are found when the newest of those that were there is damaged', () => {
    const disk = diskWithManifests(2)
    damage(disk, 2)
    expect(loadManifest(new BusyFs(disk, 1), FOLDER)!.manifest.number).toBe(3)
  })

  it('are reported when there is no end to it', () => {
    const disk = new BusyFs(diskWithManifests(2), 2, true)
    expect(() => loadManifest(disk, FOLDER)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_ENOENT' }))
  })
})

describe('the body of a manifest', () => {
  const good = JSON.parse(new TextDecoder().decode(encodeManifest(manifest(1), 0).bytes.subarray(32, -16)))
  const decode = (body: unknown) =>
    outcome(() => decodeManifest(withBody(JSON.stringify(body)), 'test').manifest)

  it('is read field by field', () => {
    expect(decode(good)).toEqual({ value: manifest(1) })
  })

  const values = [null, -1, 0.5, 2 ** 53, '', 'x', true, [], {}, [null], { a: null }, [[]]]
  /** Every path to a value in the body. */
  const paths = (value: unknown, path: string[] = []): string[][] =>
    typeof value === 'object' && value !== null
      ? [
          ...(path.length > 0 ? [path] : []),
          ...Object.entries(value).flatMap(([key, child]) => paths(child, [...path, key])),
        ]
      : [path]

  it('with any field missing, unknown or of another type is refused or means what it says', () => {
    let refused = 0
    for (const path of paths(good)) {
      for (const value of [undefined, ...values]) {
        const body = structuredClone(good)
        const parent = path.slice(0, -1).reduce((at, key) => at[key], body)
        parent[path.at(-1)!] = value
        const result = decode(body)
        if ('code' in result) refused++
        else expect(decode(JSON.parse(JSON.stringify(body)))).toEqual(result)
        if ('value' in result) expect(encodedBody(result.value)).toEqual(JSON.parse(JSON.stringify(body)))
      }
      const body = structuredClone(good)
      const parent = path.slice(0, -1).reduce((at, key) => at[key], body)
      if (!Array.isArray(parent) && !path.includes('options')) {
        parent['surprise'] = 1
        expect(decode(body)).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
      }
    }
    expect(refused).toBeGreaterThan(500)
  })

  it.each([
    ['a path for a name', (body: typeof good) => (body.collections[0].segments[0].name = '../LOCK')],
    ['a uuid in capitals', (body: typeof good) => (body.database = 'A'.repeat(32))],
    ['an LSN range upside down', (body: typeof good) => (body.collections[0].segments[0].lsnLow = 9000)],
    ['two collections of one number', (body: typeof good) => (body.collections[1].number = 1)],
    [
      'two collections of one name',
      (body: typeof good) => (body.collections[1].name = body.collections[0].name),
    ],
    ['a metric nobody knows', (body: typeof good) => (body.collections[0].metric = 'hamming')],
    [
      'a CRC of more than 32 bits',
      (body: typeof good) => (body.collections[0].checkpoint.footerCrc = 2 ** 32),
    ],
    ['a dim of 0', (body: typeof good) => (body.collections[0].dim = 0)],
  ])('with %s is refused', (_, change) => {
    const body = structuredClone(good)
    change(body)
    expect(decode(body)).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
  })

  it.each(['', 'null', '[]', '{', '{}', '"x"', '1e999', '\u0000'])('that is %j is refused', text => {
    expect(outcome(() => decodeManifest(withBody(text), 'test'))).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
  })

  it('keeps option names that JavaScript treats in its own way', () => {
    const odd = JSON.parse('{"__proto__": 1, "constructor": "x", "toString": true}')
    const result = decode({ ...good, collections: [{ ...good.collections[0], options: odd }] })
    expect(JSON.stringify(result)).toContain('"__proto__":1')
  })

  it('that would be refused is not committed', () => {
    const wrong: Partial<Manifest>[] = [
      { floorLsn: -1 },
      { durableLsn: 0.5 },
      { database: 'x' },
      { nextFile: Number.NaN },
    ]
    const disk = diskWith('other', new Uint8Array(0))
    for (const change of wrong) {
      const attempt = () => commitManifest(disk, FOLDER, manifest(1, change), 0)
      expect(attempt).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
    }
    for (const number of [-1, 0.5, Number.NaN, 2 ** 53]) {
      const attempt = () => commitManifest(disk, FOLDER, manifest(number), 0)
      expect(attempt).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
    }
    expect(disk.list(FOLDER)).toEqual(['other'])
  })
})

function encodedBody(value: Manifest): unknown {
  return JSON.parse(new TextDecoder().decode(encodeManifest(value, 0).bytes.subarray(32, -16)))
}
