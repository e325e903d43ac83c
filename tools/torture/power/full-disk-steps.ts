// Steps on a disk that fills up. What is refused is not there afterwards, what is acknowledged is, and what waits for room is written when
// there is some.
import { idText, type ModelRow, rowText } from './model.js'
import type { Step } from './steps.js'
import { FOLDER, type World } from './world.js'

/** Longer than the engine lets pass between two looks at the free space. */
const LOOK_MS = 1_100

/** Room for `bytes` more; without limit when not given. */
export function room(bytes: number = Number.POSITIVE_INFINITY): Step {
  return {
    title: `room for ${bytes} bytes`,
    run: async world => {
      world.disk.capacity = stored(world) + bytes
      await world.clock.pass(LOOK_MS)
    },
  }
}

/** Written, refused with DRIFT_DISK_FULL, or kept waiting until there is room for `bytes` more. */
export function squeezed(name: string, rows: readonly ModelRow[], bytes: number): Step {
  return {
    title: `upsert ${rows.length} rows into what room there is`,
    run: async world => {
      const collection = await world.db.collection(name)
      const before = world.state
      const acknowledge = world.begin(state => {
        for (const row of rows) state.get(name)!.set(idText(row.id), rowText(row))
      })
      let outcome = 'waits'
      const writing = collection.upsert(rows).then(
        () => {
          acknowledge()
          outcome = 'written'
        },
        error => {
          if (error.code !== 'DRIFT_DISK_FULL') throw error
          world.refused(before)
          outcome = 'refused'
        },
      )
      await Promise.race([writing, world.clock.pass(LOOK_MS)])
      if (outcome === 'waits') {
        world.disk.capacity = stored(world) + bytes
        await world.clock.pass(LOOK_MS)
      }
      await writing
    },
  }
}

/** A flush on a disk without room fails with a code or comes through, and nothing is lost by either. */
export function squeezedFlush(name: string): Step {
  return {
    title: `flush ${name} into what room there is`,
    run: async world => {
      const collection = await world.db.collection(name)
      await collection.flush().catch(error => {
        if (!/^DRIFT_(DISK_FULL|FS_ENOSPC)$/.test(error.code)) throw error
      })
    },
  }
}

function stored({ disk }: World): number {
  let bytes = 0
  for (const name of disk.list(FOLDER)) bytes += disk.stat(`${FOLDER}/${name}`)!.bytes
  return bytes
}
