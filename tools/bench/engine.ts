// What every engine of a comparison looks like: one query at a time, on the calling thread, rows named by number.

export interface Engine {
  readonly name: string
  /** What a setting of `search` is called: probes, ef; an exact engine has none. */
  readonly knob: string
  /**
   * @param setting - undefined for the engine's default.
   * @returns row numbers, nearest first.
   */
  search(
    query: Float32Array,
    k: number,
    setting: number | undefined,
  ): ArrayLike<number> | Promise<ArrayLike<number>>
  close(): Promise<void> | void
}
