/**
 * Callbacks that are told of work and cannot change it. What one throws is an uncaught exception of the process, as with any event, and not a
 * failure of the work, which may be done by then, or half done. What only computes in its caller's step, as k-means does, throws it there.
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
