/**
 * flock(2), which Node lacks: an advisory lock of a whole file that belongs to the open file description, so the
 * kernel frees it when the last descriptor closes, also after kill -9.
 */
import { getSystemErrorName } from 'node:util'
import { addon } from './addon.js'
import { NativeError } from './error.js'

/** `busy`: another open file description holds the lock. `unsupported`: there is no addon. */
export type FlockResult = 'locked' | 'busy' | 'unsupported'

/** Take the lock without waiting. Throws DRIFT_FLOCK with the errno's name in `details.errno`. */
export function flock(fd: number, mode: 'exclusive' | 'shared' = 'exclusive'): FlockResult {
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff || (mode !== 'exclusive' && mode !== 'shared')) {
    throw new NativeError(
      'DRIFT_KERNEL_ARGUMENT',
      `flock(${fd}, ${mode}) needs a file descriptor and a mode`,
      {
        fd,
        mode,
      },
    )
  }
  if (!addon) return 'unsupported'
  const result = addon.flock(fd, mode === 'exclusive', false)
  if (result === 0) return 'locked'
  const errno = getSystemErrorName(-result)
  if (errno === 'EAGAIN' || errno === 'EWOULDBLOCK') return 'busy'
  throw new NativeError('DRIFT_FLOCK', `flock of descriptor ${fd} failed with ${errno}`, { fd, errno })
}
