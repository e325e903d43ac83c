// Operations of a workload, through the public door.
import type { Collection } from '@drift/server'
import { filterOf, operation, type Workload } from './workload.js'

/** Operation `n`, as the engine's user would write it. */
export async function writeOperation(collection: Collection, workload: Workload, n: number): Promise<void> {
  const todo = operation(workload, n)
  if (todo.kind === 'upsert') {
    const { ids, vectors, payloads } = todo
    await collection.upsert({ ids, vectors, payloads: payloads.map(payload => ({ ...payload })) })
    return
  }
  const target = 'ids' in todo ? todo.ids : { filter: filterOf(todo.where) }
  if (todo.kind === 'delete') await collection.delete(target)
  else await collection.updatePayload(target, { patched: n })
}
