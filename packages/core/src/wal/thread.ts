/**
 * The thread of a write-ahead log: waits to be told which, opens it, then writes all commands that are waiting as one group at a time. After each group it
 * looks for the next one for a while before it goes back to its event loop: a writer that is woken by an acknowledgement is soon back.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { NodeFs } from '@drift/fs'
import { CommandQueue, MESSAGE } from './commands.js'
import { GroupCommit, type WalCommand } from './group-commit.js'
import { WalLog } from './log.js'
import {
  packError,
  type ThreadCommand,
  type ThreadData,
  type ThreadMessage,
  type ThreadStart,
} from './port.js'

/** Longer than a caller's turn, shorter than what timers of the log may be late. */
const LINGER_MS = 2
/** Timers get their turn at least so often. */
const TURN_MS = 10
/** And so often while a file is being made: each of its few steps then waits no longer for the next. */
const PREPARING_TURN_MS = 2
/** A sleeping thread is there again after some 50 us, and so for so long it does not sleep, where the next command mostly comes sooner. */
const SPIN_MS = 0.1
/** Weight of the newest wait in their mean. */
const NEWEST = 0.2
/** The longest wait that counts in full: one long pause does not end a habit. */
const LONG_MS = 0.4

const { ring, queue: memory, port } = workerData as ThreadData
const queue = new CommandQueue(memory)
const parent = parentPort!
let acknowledged = 0
let usualWaitMs = LONG_MS

const send = (message: ThreadMessage): void => port.postMessage(message)

parent.once('message', (start: ThreadStart) =>
  told(() => {
    acknowledged = start.log.firstLsn - 1
    const log = WalLog.draft({ ...start.log, fs: new NodeFs() })
    const decide = (command: ThreadCommand): void =>
      told(() => {
        if (command === 'publish') open(log, start)
        else {
          log.withdraw()
          parent.postMessage('withdrawn')
        }
      })
    if (start.waits) parent.once('message', decide)
    else decide('publish')
  }),
)

function told(work: () => void): void {
  try {
    work()
  } catch (error) {
    send({ acknowledged, reply: { kind: 'failed', error: packError(error) } })
  }
}

function open(log: WalLog, { commit }: ThreadStart): void {
  log.publish()
  const loop = new GroupCommit(log, commit, reply => {
    if (reply.kind === 'durable') {
      acknowledged = reply.lsn
      queue.acknowledge(reply.lsn)
    } else
      send({ acknowledged, reply: 'error' in reply ? { ...reply, error: packError(reply.error) } : reply })
  })
  // Nothing else keeps the thread: its port is read, not listened to.
  setInterval(() => {}, 2 ** 30)
  send({ acknowledged, reply: { kind: 'ready', files: log.files() } })
  void serve(loop)
}

async function serve(loop: GroupCommit): Promise<void> {
  while (!loop.ended) {
    const end = performance.now() + (loop.isPreparing ? PREPARING_TURN_MS : TURN_MS)
    do {
      loop.run(taken())
      if (loop.ended) break
      linger()
    } while (!queue.isEmpty && performance.now() < end)
    if (queue.isEmpty) await queue.waited()
    else await new Promise(resolve => setImmediate(resolve))
  }
}

/** For LINGER_MS, or until there is a command. */
function linger(): void {
  const start = performance.now()
  if (usualWaitMs < SPIN_MS) while (queue.isEmpty && performance.now() - start < SPIN_MS);
  if (queue.isEmpty) queue.wait(LINGER_MS)
  usualWaitMs += NEWEST * (Math.min(LONG_MS, performance.now() - start) - usualWaitMs)
}

function taken(): WalCommand[] {
  return queue.take().map(({ at, bytes }): WalCommand => {
    if (at === MESSAGE) return (receiveMessageOnPort(port) as { message: WalCommand }).message
    return { kind: 'append', records: [new Uint8Array(ring, at, bytes)] }
  })
}
