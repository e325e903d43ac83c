/** The coded error of the tools. The codes are private to this folder: nothing outside of it can catch them. */
export class ToolError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'ToolError'
    this.code = code
    this.details = details
  }
}
