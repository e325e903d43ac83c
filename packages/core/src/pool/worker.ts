/** The entry of a worker thread: nothing but the task. Between tasks the thread sleeps in Atomics.wait. */
export { runTask as default } from './tasks.js'
