/**
 * A lock for hosts without flock: the file `<path>.pid` names its owner, and exists only while it is locked.
 * Rule: a lock is taken over only when its owner is proven dead; whoever cannot judge refuses. The owner is a pid with
 * its boot, pid namespace and start time, so neither a reused pid nor one of another container passes for it.
 */

import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  readlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import type { FileLock } from './drift-fs.js'
import { errnoOf, FsError, fsError } from './errors.js'

/** Empty strings where the platform does not tell (outside Linux). */
interface Owner {
  readonly pid: number
  readonly boot: string
  readonly namespace: string
  readonly start: string
}

let attempts = 0

export function lockPidFile(path: string): FileLock {
  const pidFile = `${path}.pid`
  const mine = JSON.stringify(describe(process.pid))
  if (!publish(pidFile, mine)) {
    const found = readIfThere(pidFile)
    if (found !== undefined && !isDead(found)) throw heldBy(path, pidFile, found)
    takeOver(path, pidFile, found, mine)
  }
  let held = true
  return {
    release() {
      if (held && readIfThere(pidFile) === mine) unlinkSync(pidFile)
      held = false
    },
  }
}

function heldBy(path: string, pidFile: string, found: string): FsError {
  const owner = parse(found)
  const message = `lock ${path}: LOCKED, ${pidFile} names a process that may be alive: ${found}`
  const holder = owner && `process ${owner.pid}`
  return new FsError('DRIFT_FS_LOCKED', message, { operation: 'lock', path, holder })
}

/**
 * Only one process at a time may replace a dead owner: without this guard a second one could remove the fresh lock of
 * the first. A process that dies inside these lines leaves the guard, and then a person has to remove it.
 */
function takeOver(path: string, pidFile: string, dead: string | undefined, mine: string): void {
  const guard = `${pidFile}.takeover`
  if (!publish(guard, mine)) throw fsError('LOCKED', 'lock', path, `${guard}: another process is taking over`)
  try {
    if (dead !== undefined && readIfThere(pidFile) === dead) unlinkSync(pidFile)
    if (!publish(pidFile, mine)) throw fsError('LOCKED', 'lock', path, 'another process was faster')
  } finally {
    unlinkSync(guard)
  }
}

/** Creates the file with its whole content, or returns false when it exists. The content is durable before the name shows it. */
function publish(file: string, content: string): boolean {
  attempts += 1
  const draft = `${file}.${process.pid}-${attempts}-${process.hrtime.bigint()}`
  const fd = openSync(draft, 'wx')
  try {
    writeSync(fd, content)
    fsyncSync(fd)
    linkSync(draft, file)
    return true
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return false
    throw cause
  } finally {
    closeSync(fd)
    unlinkSync(draft)
  }
}

function isDead(content: string): boolean {
  const owner = parse(content)
  if (owner === undefined) return false
  const here = describe(owner.pid)
  if (owner.boot !== here.boot) return true
  if (owner.namespace !== here.namespace) return false
  return !isAlive(owner.pid) || owner.start !== here.start
}

function parse(content: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(content)
    const whole =
      typeof owner === 'object' &&
      owner !== null &&
      'pid' in owner &&
      Number.isSafeInteger(owner.pid) &&
      ['boot', 'namespace', 'start'].every(key => typeof (owner as Record<string, unknown>)[key] === 'string')
    return whole ? (owner as unknown as Owner) : undefined
  } catch {
    return undefined // Not written by this code: nobody can say that its owner is dead.
  }
}

function describe(pid: number): Owner {
  return { pid, boot: bootId(), namespace: pidNamespace(), start: startTime(pid) }
}

function bootId(): string {
  return process.platform === 'linux' ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() : ''
}

function pidNamespace(): string {
  return process.platform === 'linux' ? readlinkSync('/proc/self/ns/pid') : ''
}

/** Field 22 of /proc/<pid>/stat, in clock ticks since boot; empty when the process is gone. */
function startTime(pid: number): string {
  if (process.platform !== 'linux') return ''
  const stat = readIfThere(`/proc/${pid}/stat`) ?? ''
  // The second field is the command in parentheses and may hold blanks: count from the last parenthesis.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return errnoOf(cause) !== 'ESRCH'
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ESRCH') return undefined
    throw cause
  }
}
