/** Proves that under its final name a file is whole or absent, wherever a power cut or a failure of the disk stops its writer. */
import { FaultFs, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import {
  type FileEntry,
  readCheckpoint,
  type SegmentEntry,
  writeCheckpoint,
  writeSegment,
} from '../src/index.js'
import { checkpoint, contentOfFile, contentOfInput, FOLDER, segmentInput } from './fixture.js'

const input = { ...segmentInput({ rows: 40, dim: 384, payloadBytes: 9000 }), syncFolder: true }
/** What the writer returns, known before it ends. */
const entry = writeSegment(emptyDisk(), FOLDER, 's', input)

function emptyDisk(options: ConstructorParameters<typeof SimFs>[0] = {}): SimFs {
  const disk = new SimFs(options)
  disk.makeFolder(FOLDER)
  disk.syncFolder('/')
  return disk
}

describe('a file whose writer is stopped', () => {
  it('by a power cut at any operation is whole or absent', () => {
    const seen = new Set<boolean>()
    let watched: SimFs | undefined
    const disk = emptyDisk({
      before: () => {
        for (let seed = 0; watched !== undefined && seed < 10; seed++) {
          const after = watched.powerCut({ seed })
          const there = after.stat(`${FOLDER}/s`) !== undefined
          seen.add(there)
          if (there) expect(contentOfFile(after, entry, true)).toEqual(contentOfInput(input))
        }
      },
    })
    watched = disk
    writeSegment(disk, FOLDER, 's', input)
    watched = undefined
    expect(seen).toEqual(new Set([false, true]))
    expect(contentOfFile(disk.powerCut({ data: 'none', entries: 'none' }), entry, true)).toEqual(
      contentOfInput(input),
    )
  })

  it.each(['ENOSPC', 'EIO'])(
    'by %s at any operation is whole or absent, and written by the next attempt',
    errno => {
      for (let at = 1; ; at++) {
        const disk = emptyDisk()
        let failure: unknown
        try {
          writeSegment(new FaultFs(disk, [{ at, errno, written: 0.5 }]), FOLDER, 's', input)
        } catch (error) {
          failure = error
        }
        const there = disk.stat(`${FOLDER}/s`) !== undefined
        if (there) expect(contentOfFile(disk, entry, true)).toEqual(contentOfInput(input))
        if (failure === undefined) {
          expect(there).toBe(true)
          expect(at).toBeGreaterThan(7)
          return
        }
        expect(failure).toMatchObject({ code: `DRIFT_FS_${errno}` })
        expect(disk.list(FOLDER)).toEqual(there ? ['s'] : [])
        expect(writeSegment(disk, FOLDER, 's', input)).toEqual(entry)
        expect(contentOfFile(disk, entry, true)).toEqual(contentOfInput(input))
      }
    },
  )
})

describe('a reader on a failing disk', () => {
  const disk = emptyDisk()
  const files: [string, FileEntry, (fs: FaultFs, file: FileEntry) => unknown][] = [
    [
      'segment',
      writeSegment(disk, FOLDER, 's', input),
      (fs, file) => contentOfFile(fs, file as SegmentEntry, true),
    ],
    [
      'checkpoint',
      writeCheckpoint(disk, FOLDER, 'c', checkpoint()),
      (fs, file) => readCheckpoint(fs, FOLDER, file),
    ],
  ]
  it.each(files)('of a %s passes every failure on and leaves no descriptor open', (_, file, read) => {
    const good = read(new FaultFs(disk, []), file)
    for (let at = 1; ; at++) {
      const faulty = new FaultFs(disk, [{ at, errno: 'EIO', operation: ['open', 'read', 'stat'] }])
      const counted = new Set<number>()
      const open = faulty.open.bind(faulty)
      const close = faulty.close.bind(faulty)
      faulty.open = (path, mode) => {
        const fd = open(path, mode)
        counted.add(fd)
        return fd
      }
      faulty.close = fd => {
        counted.delete(fd)
        close(fd)
      }
      let failure: unknown
      let content: unknown
      try {
        content = read(faulty, file)
      } catch (error) {
        failure = error
      }
      expect(counted).toEqual(new Set())
      if (failure === undefined) {
        expect(content).toEqual(good)
        if (faulty.operationCount < at) break
        continue
      }
      expect(failure).toMatchObject({ code: 'DRIFT_FS_EIO' })
    }
  })
})
