// The other end of server.ts.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Answers, Ask } from './protocol.js'

/** One question at a time. */
export async function ask<D extends Ask['do']>(
  child: ChildProcess,
  request: Extract<Ask, { do: D }>,
): Promise<Answers[D]> {
  child.send(request)
  const [reply] = (await once(child, 'message')) as [Answers[D] | { error: string }]
  if (typeof reply === 'object' && 'error' in reply) throw new Error(reply.error)
  return reply
}
