// Steps that damage the files of a closed database, and bring it back as a user would. What is lost is known, and said before: a power
// cut while the database is brought back leaves what the same call brings to the same state.
import type { ModelRow } from './model.js'
import { idText } from './model.js'
import type { Step } from './steps.js'
import { FOLDER, type World } from './world.js'

/** A batch of the log is damaged whose ids no other batch has; salvage gives back all others. */
export function salvage(name: string, lost: readonly ModelRow[]): Step {
  return {
    title: `salvage without ${lost.length} rows`,
    run: async world => {
      await world.db.close()
      world.synced()
      world.quietly(() => flipInLog(world, Buffer.from(idText(lost[0]!.id).split(' ').slice(1).join(' '))))
      world.opening = { recovery: 'salvage' }
      await world.write(
        state => {
          for (const { id } of lost) state.get(name)!.delete(idText(id))
        },
        async () => undefined,
      )
      world.synced()
      await world.open({ recovery: 'salvage' })
      if (world.db.recovery.losses.length === 0) throw new Error('salvage reports no loss')
      world.opening = {}
    },
  }
}

/** What was written by the last of these steps is left out: the database is as it was before. */
export function goBack(steps: readonly Step[]): Step {
  return {
    title: `go back behind ${steps.length} steps`,
    run: async world => {
      const { state } = world
      const lsn = (await world.db.stats()).wal.durableLsn
      for (const step of steps) await step.run(world)
      await world.db.close()
      world.synced()
      // From the first write on the disk may be either: before, every record is still in the log; afterwards none of those behind is.
      world.opening = { recovery: { pointInTime: lsn } }
      await world.write(
        now => {
          now.clear()
          for (const [collection, rows] of state) now.set(collection, new Map(rows))
        },
        async () => undefined,
      )
      world.synced()
      await world.open({ recovery: { pointInTime: lsn } })
      world.opening = {}
    },
  }
}

export type Harm = 'manifest' | 'format' | 'index'

/** One file is damaged that holds nothing which is nowhere else; `Drift.repair` loses nothing. */
export function repair(harm: Harm): Step {
  return {
    title: `repair the ${harm}`,
    run: async world => {
      await world.db.close()
      world.synced()
      world.quietly(() => {
        const names = world.disk.list(FOLDER).filter(name => HARMED[harm].test(name))
        const newest = names.at(-1)
        if (newest) flip(world, `${FOLDER}/${newest}`, 40)
      })
      world.opening = { repair: true }
      await world.modules.server.Drift.repair(FOLDER, { fs: world.disk })
      world.opening = {}
      await world.open()
    },
  }
}

const HARMED: Readonly<Record<Harm, RegExp>> = { manifest: /^manifest-/, format: /^FORMAT$/, index: /^idx-/ }

/** Flips a bit in the frame whose record holds this id. */
function flipInLog({ disk, modules }: World, id: Buffer): void {
  for (const { path, frames } of modules.core.inspectWal(disk, FOLDER)) {
    for (const { offset, records } of frames) {
      if (!records.some(record => Buffer.from(record).includes(id))) continue
      flip({ disk } as World, path, offset + 100)
      return
    }
  }
  throw new Error(`no frame holds ${id}`)
}

function flip({ disk }: Pick<World, 'disk'>, path: string, offset: number): void {
  const fd = disk.open(path, 'write')
  const byte = new Uint8Array(1)
  const at = Math.min(offset, disk.stat(path)!.bytes - 1)
  disk.read(fd, byte, at)
  byte[0]! ^= 4
  disk.write(fd, byte, at)
  disk.fsync(fd)
  disk.close(fd)
}
