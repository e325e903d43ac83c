/**
 * The thread of a write-ahead log: opens the log, then writes all commands that are waiting as one group at a time. After each group it
 * waits for the bell before it goes back to its event loop: a writer that is woken by an acknowledgement is soon back.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { NodeFs } from '@drift/fs'
import { GroupCommit, type WalCommand } from './group-commit.js'
import { WalLog } from './log.js'
import { packError, type ThreadCommand, type ThreadData, type ThreadMessage } from './port.js'

/** Longer than a caller's turn, shorter than what timers of the log may be late. */
const LINGER_MS = 2
/** Timers and the preparation of files get their turn at least so often. */
const TURN_MS = 10

const port = parentPort!
const { log: options, commit, ring, bell } = workerData as ThreadData
const send = (message: ThreadMessage): void => port.postMessage(message)

try {
  const log = WalLog.open({ ...options, fs: new NodeFs() })
  const loop = new GroupCommit(log, commit, reply =>
    send('error' in reply ? { ...reply, error: packError(reply.error) } : reply),
  )
  port.on('message', (first: ThreadCommand[]) => {
    const end = performance.now() + TURN_MS
    let rung = Atomics.load(bell, 0)
    let commands = received(first)
    while (commands.length > 0) {
      loop.run(commands)
      if (loop.ended || loop.wantsTurn || performance.now() >= end) return
      Atomics.wait(bell, 0, rung, LINGER_MS)
      rung = Atomics.load(bell, 0)
      commands = received([])
    }
  })
  send({ kind: 'ready', files: log.files() })
} catch (error) {
  send({ kind: 'failed', error: packError(error) })
}

/** `first`, and all that has arrived since. */
function received(first: ThreadCommand[]): WalCommand[] {
  const commands = first.map(unpacked)
  for (;;) {
    const next = receiveMessageOnPort(port) as { message: ThreadCommand[] } | undefined
    if (!next) return commands
    for (const command of next.message) commands.push(unpacked(command))
  }
}

function unpacked(command: ThreadCommand): WalCommand {
  if (command.kind !== 'append') return command
  const records = command.records.map(record =>
    record instanceof Uint8Array ? record : new Uint8Array(ring, record.at, record.bytes),
  )
  return { kind: 'append', records }
}
