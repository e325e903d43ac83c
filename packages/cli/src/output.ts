/** Where a command's words go. Rule: stdout has the result (with --json as one line of JSON), stderr everything else. */
export interface Output {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export interface Report {
  /** @param text - for a person; default: the result as indented JSON. Nothing is printed without a result. */
  (result: unknown, text?: string, exit?: number): void
  /** Whether results are one line of JSON. */
  readonly json: () => boolean
}
