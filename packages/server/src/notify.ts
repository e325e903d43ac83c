/**
 * Callbacks that nobody waits for. What one throws is an uncaught exception of the process, as with any event, and not a failure of the work
 * that it is told of.
 */
export function notify(tell: () => void): void {
  try {
    tell()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
