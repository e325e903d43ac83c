/**
 * The entry of a worker thread: nothing but the task. Between tasks the thread sleeps in Atomics.wait.
 * piscina tries `require` before `import`, and Node aborts the whole process when a thread is ended in the middle of requiring an ES
 * module (assertion in CreateRequiredModuleFacade, Node 20.20). What awaits at top level is refused by `require` at once.
 */
import { setPriority } from 'node:os'

/** Where there are more threads than cores, those that others wait for go first. */
const NICE = 10

// On Linux, and only there, this is the priority of one thread.
if (process.platform === 'linux') {
  try {
    setPriority(NICE)
  } catch {
    // Where a sandbox forbids it, threads compete as equals.
  }
}

const tasks: typeof import('./tasks.js') = await import('./tasks.js')
const { unpackViews } = await import('@drift/native')

const run: typeof tasks.runTask = message => tasks.runTask(unpackViews(message))

export default run
