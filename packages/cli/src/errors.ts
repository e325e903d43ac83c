/** The one error class of this package, and what a command ends with. */
export class CliError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'CliError'
    this.code = code
    this.details = details
  }
}

/** `found`: a check that found something wrong. `stopped`: by Ctrl-C, 128 + SIGINT as shells count. */
export const EXIT = { done: 0, failed: 1, usage: 2, rejects: 3, found: 4, stopped: 130 } as const
