/**
 * The entry of a worker thread: nothing but the task. Between tasks the thread sleeps in Atomics.wait.
 * piscina tries `require` before `import`, and Node aborts the whole process when a thread is ended in the middle of requiring an ES
 * module (assertion in CreateRequiredModuleFacade, Node 20.20). What awaits at top level is refused by `require` at once.
 */
const run: typeof import('./tasks.js').runTask = (await import('./tasks.js')).runTask

export default run
