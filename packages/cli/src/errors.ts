/**
 * The one error class of this package, and what a command ends with:
 * 0 done, 1 failed, 2 wrong arguments, 3 done but some rows were rejected.
 */
export class CliError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.name = 'CliError'
    this.code = code
    this.details = details
  }
}

export const EXIT = { done: 0, failed: 1, usage: 2, rejects: 3 } as const
