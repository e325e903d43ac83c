/** What `check` says. A finding names one place and what is wrong there; nothing is ever changed by looking. */

/**
 * `format`, `manifest`, `log`: that file is damaged. `missing`: a file that a manifest names is not there. `damaged`: bytes that hold ids,
 * vectors, payloads or deletions. `derived`: bytes that can be made again from those. `rows`, `lsn`: files that are sound and do not fit
 * together. `index`: memory does not agree with the files. `torn`: the end of a log that a crash cut off; nothing acknowledged is there.
 * `unnamed`, `unfinished`, `quarantined`: files that no manifest names.
 */
export type FindingKind =
  | 'format'
  | 'manifest'
  | 'log'
  | 'missing'
  | 'damaged'
  | 'derived'
  | 'rows'
  | 'lsn'
  | 'index'
  | 'torn'
  | 'unnamed'
  | 'unfinished'
  | 'quarantined'

export interface Finding {
  /** In the database's folder, or the folder itself. */
  readonly file: string
  /** Of the first byte of what is damaged. */
  readonly offset?: number
  readonly kind: FindingKind
  /** `error`: the database does not open, or not with everything. `warning`: masked so far. `info`: nothing is wrong. */
  readonly severity: 'error' | 'warning' | 'info'
  readonly message: string
  /** Whether what users wrote is concerned, and not only what can be made again from it. */
  readonly truth: boolean
}

export interface CheckReport {
  /** No error and no warning. */
  readonly ok: boolean
  /** Looked at, to the last byte. */
  readonly files: number
  readonly bytes: number
  /** In the order met. */
  readonly findings: readonly Finding[]
}

export function isOk(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity === 'info')
}
