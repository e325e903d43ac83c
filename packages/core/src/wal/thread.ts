/**
 * The thread of a write-ahead log: opens the log, then writes all commands that are waiting as one group at a time.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { NodeFs } from '@drift/fs'
import { GroupCommit, type WalCommand } from './group-commit.js'
import { WalLog } from './log.js'
import { packError, type ThreadData, type ThreadMessage } from './port.js'

const port = parentPort!
const { log: options, commit } = workerData as ThreadData
const send = (message: ThreadMessage): void => port.postMessage(message)

try {
  const log = WalLog.open({ ...options, fs: new NodeFs() })
  const loop = new GroupCommit(log, commit, reply =>
    send('error' in reply ? { ...reply, error: packError(reply.error) } : reply),
  )
  port.on('message', (first: WalCommand[]) => {
    const commands = [...first]
    for (;;) {
      const next = receiveMessageOnPort(port) as { message: WalCommand[] } | undefined
      if (!next) break
      commands.push(...next.message)
    }
    loop.run(commands)
  })
  send({ kind: 'ready', files: log.files() })
} catch (error) {
  send({ kind: 'failed', error: packError(error) })
}
