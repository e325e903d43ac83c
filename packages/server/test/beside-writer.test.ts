// Who looks at a folder without its lock sees one moment of it, whatever its writer commits, cuts and removes meanwhile: a sound database is
// never called damaged, and a damaged one is, also while it is written.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type DriftFs, FaultFs, type FileStat, type OpenMode, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type CheckReport, Drift } from '../src/index.js'
import { type Contents, churn, contents, fill, SMALL, withDatabase } from './churn.js'
import { temporaryFolder } from './fixture.js'

describe('beside another process that writes without end', () => {
  it('a check finds nothing wrong, and who wants the lock is told who has it', async () => {
    const path = temporaryFolder()
    const script = fileURLToPath(new URL('./read-only-writer.mjs', import.meta.url))
    const writer = spawn(process.execPath, [script, path], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      const batches = createInterface({ input: writer.stdout })[Symbol.asyncIterator]()
      for (let round = 0; round < 30; round++) {
        // Every check is of a later moment.
        for (let batch = 0; batch < 10; batch++) await batches.next()
        expect(wrong(await Drift.check(path))).toEqual([])
      }
      const holder = `process ${writer.pid} on ${hostname()}`
      for (const call of [() => Drift.open(path), () => Drift.repair(path)])
        await expect(call()).rejects.toMatchObject({
          code: 'DRIFT_LOCKED',
          details: { path, holder },
          message: expect.stringContaining(`is open already, in ${holder}; `),
        })
    } finally {
      writer.kill('SIGKILL')
      await once(writer, 'exit')
    }
  })
})

describe('a folder whose writer has moved on before its files are read', () => {
  it('is checked as it was', async () => {
    const moments = await history()
    const disk = new MovingFs(moments, isSegment)
    const report = await Drift.check('/db', { fs: disk })
    expect(wrong(report)).toEqual([])
    expect(disk.moves).toBeGreaterThan(0)
  })

  it('is opened as it was: its log is not looked for behind its files', async () => {
    const moments = await history()
    const disk = new MovingFs(moments, isSegment)
    await withDatabase('/db', { fs: disk, readOnly: true }, async db => {
      expect(await contents(await db.collection('docs'))).toEqual(moments[0]!.wanted)
      expect(wrong(await db.check())).toEqual([])
    })
    expect(disk.moves).toBeGreaterThan(0)
  })

  it('is said to be open when that happens at every look', async () => {
    const moments = await history()
    for (const look of [
      (disk: DriftFs) => Drift.check('/db', { fs: disk }),
      (disk: DriftFs) => Drift.open('/db', { fs: disk, readOnly: true }),
    ]) {
      const disk = new MovingFs(moments, path => path.includes('manifest-'))
      await expect(look(disk)).rejects.toMatchObject({ code: 'DRIFT_LOCKED', details: { path: '/db' } })
    }
  })
})

it('damage is told as it is while the database is open', async () => {
  const path = temporaryFolder()
  await withDatabase(path, { maintenance: 'off' }, async db => {
    await fill(db)
    const [missing, damaged] = readdirSync(path).filter(name => /^seg-/.test(name))
    const log = readdirSync(path).findLast(name => /^wal-/.test(name))!
    rmSync(join(path, missing!))
    const bytes = readFileSync(join(path, damaged!))
    bytes[4200]! ^= 1
    writeFileSync(join(path, damaged!), bytes)
    appendFileSync(join(path, log), 'x')
    const found = wrong(await Drift.check(path))
    for (const [file, kind] of [
      [missing, 'missing'],
      [damaged, 'damaged'],
      [log, 'log'],
    ])
      expect(found).toContainEqual(expect.objectContaining({ file, kind, severity: 'error' }))
  })
})

function wrong({ findings }: CheckReport) {
  return findings.filter(({ severity }) => severity !== 'info')
}

interface Moment {
  readonly disk: SimFs
  readonly wanted: Contents
}

/** Between any two the writer has committed twice, and has cut the log that the one before needed. */
async function history(): Promise<Moment[]> {
  const disk = new SimFs()
  const moments: Moment[] = []
  await withDatabase('/db', { ...SMALL, fs: disk, maintenance: 'off' }, async db => {
    const docs = await fill(db)
    for (let moment = 0; moment < 20; moment++) {
      for (let flush = 0; flush < 3; flush++) {
        for (let batch = 0; batch < 4; batch++) await churn(docs, moment * 100 + flush * 10 + batch)
        if (flush < 2) await docs.flush()
      }
      moments.push({ disk: disk.processKill(), wanted: await contents(docs) })
    }
  })
  return moments
}

function isSegment(path: string): boolean {
  return path.includes('seg-')
}

/** The disk of a reader: of the next moment as soon as a file is opened that `isMoving`. What is open stays what it was. */
class MovingFs extends FaultFs {
  moves = 0
  readonly #moments: readonly Moment[]
  readonly #isMoving: (path: string) => boolean
  readonly #open = new Map<number, { readonly disk: SimFs; readonly fd: number }>()
  #nextFd = 1

  constructor(moments: readonly Moment[], isMoving: (path: string) => boolean) {
    super(moments[0]!.disk, [])
    this.#moments = moments
    this.#isMoving = isMoving
  }

  get #now(): SimFs {
    return this.#moments[Math.min(this.moves, this.#moments.length - 1)]!.disk
  }

  override open(path: string, mode: OpenMode): number {
    const disk = this.#now
    this.#open.set(this.#nextFd, { disk, fd: disk.open(path, mode) })
    if (this.#isMoving(path)) this.moves++
    return this.#nextFd++
  }

  override read(fd: number, into: Uint8Array, offset: number): number {
    const { disk, fd: inner } = this.#open.get(fd)!
    return disk.read(inner, into, offset)
  }

  override close(fd: number): void {
    const { disk, fd: inner } = this.#open.get(fd)!
    disk.close(inner)
  }

  override list(path: string): string[] {
    return this.#now.list(path)
  }

  override stat(path: string): FileStat | undefined {
    return this.#now.stat(path)
  }
}
