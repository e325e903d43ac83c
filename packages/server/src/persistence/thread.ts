/** Entry of the persistence thread: a task in, its result or its coded error out. */
import { NodeFs } from '@drift/fs'
import { unpackViews } from '@drift/native'
import type { TaskOutcome } from './executor.js'
import { runTask, type Task, type TaskResults } from './tasks.js'

const fs = new NodeFs()

export default function perform(task: Task): TaskOutcome<TaskResults[Task['kind']]> {
  try {
    return { result: runTask(fs, unpackViews(task)) }
  } catch (error) {
    const { code = 'DRIFT_PERSISTENCE', message, details = {} } = error as Coded
    return { failure: { code, message, details } }
  }
}

interface Coded extends Error {
  readonly code?: string
  readonly details?: Readonly<Record<string, unknown>>
}
