/**
 * Proves that files of every released version are read, and that version 1 is still written byte for byte: a change of the bytes is a
 * change of the format. `DRIFT_WRITE_GOLDEN=1` writes the files anew, for a version that was not released yet.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { NodeFs, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import {
  commitManifest,
  loadManifest,
  type Manifest,
  manifestName,
  readCheckpoint,
  readTombstones,
  SegmentReader,
  writeCheckpoint,
  writeSegment,
  writeTombstones,
} from '../src/index.js'
import { bytesOf } from './damage.js'
import { ascii, checkpoint, contentOf, contentOfInput, FOLDER, segmentInput, uuidOf } from './fixture.js'

const V1 = fileURLToPath(new URL('./golden/v1', import.meta.url))
// The rate that they were written with: it is the writer's choice, and no part of the format.
const input = { ...segmentInput({ rows: 6, dim: 3 }), idFilterRate: 0.01 }
const tombstoneInput = {
  uuid: uuidOf(2),
  createdMs: 1,
  ids: [ascii('a'), ascii(''), ascii('b')],
  lsnLow: 4,
  lsnHigh: 9,
}

/** The files as they are written today, and the manifest that names them. */
function written(): { disk: SimFs; manifest: Manifest } {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  const manifest: Manifest = {
    number: 3,
    database: uuidOf(9),
    floorLsn: 17,
    durableLsn: 20,
    nextCollection: 2,
    nextFile: 4,
    collections: [
      {
        number: 1,
        name: 'docs',
        dim: 3,
        metric: 'cosine',
        options: { recall: 0.95, exact: false, kind: 'text' },
        segments: [writeSegment(disk, FOLDER, 'segment.drift', input)],
        tombstones: [writeTombstones(disk, FOLDER, 'tombstones.drift', tombstoneInput)],
        checkpoint: writeCheckpoint(disk, FOLDER, 'checkpoint.drift', checkpoint()),
      },
    ],
  }
  commitManifest(disk, FOLDER, manifest, 0x1234_5678)
  return { disk, manifest }
}

if (process.env['DRIFT_WRITE_GOLDEN'] === '1') {
  mkdirSync(V1, { recursive: true })
  const { disk } = written()
  for (const name of disk.list(FOLDER)) writeFileSync(`${V1}/${name}`, bytesOf(disk, name))
}

describe('format version 1', () => {
  const { disk, manifest } = written()

  it.each(['segment.drift', 'tombstones.drift', 'checkpoint.drift', manifestName(3)])(
    'writes %s as ever',
    name => {
      expect(Buffer.from(bytesOf(disk, name)).equals(readFileSync(`${V1}/${name}`))).toBe(true)
    },
  )

  it('is read', () => {
    const fs = new NodeFs()
    const loaded = loadManifest(fs, V1)!
    expect(loaded).toMatchObject({ manifest, previousCrc: 0x1234_5678 })
    const { segments, tombstones, checkpoint: partition } = loaded.manifest.collections[0]!
    const reader = SegmentReader.open(fs, V1, segments[0]!)
    reader.verify()
    expect(contentOf(reader)).toEqual(contentOfInput(input))
    expect(input.ids.filter(id => !reader.mightContain(id))).toEqual([])
    expect(reader.quantizerId).toBe(10153119832473716230n)
    reader.close()
    expect(readTombstones(fs, V1, tombstones[0]!)).toEqual(tombstoneInput.ids)
    const { createdMs: _, ...content } = checkpoint()
    expect(readCheckpoint(fs, V1, partition!)).toEqual(content)
  })
})
