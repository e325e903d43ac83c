// What the demo says. Rule: a claim is checked when it is printed, and one that does not hold ends the demo with code 1.
import { stdout } from 'node:process'
import cliProgress from 'cli-progress'

export interface Progress {
  update(done: number): void
  stop(): void
}

export class Screen {
  readonly #started = performance.now()
  /** Claims that did not hold. */
  readonly broken: string[] = []
  #checked = 0
  #step = 0

  /** Claims that were checked. */
  get checked(): number {
    return this.#checked
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000
  }

  step(title: string): void {
    console.log(`\n${++this.#step}. ${title}`)
  }

  line(text: string): void {
    console.log(`   ${text}`)
  }

  claim(text: string, holds: boolean): void {
    this.#checked++
    if (!holds) this.broken.push(text)
    this.line(`${holds ? '[ok]   ' : '[FAIL] '}${text}`)
  }

  /** A bar on a terminal; nothing elsewhere, where the lines that follow tell the same. */
  progress(label: string, total: number): Progress {
    if (!stdout.isTTY) return { update() {}, stop() {} }
    const bar = new cliProgress.SingleBar({
      format: `   ${label} [{bar}] {value}/{total}`,
      barCompleteChar: '=',
      barIncompleteChar: ' ',
      clearOnComplete: true,
      hideCursor: true,
      stream: stdout,
    })
    bar.start(total, 0)
    return { update: done => bar.update(done), stop: () => bar.stop() }
  }
}

/** 12,345 */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** Microseconds in the unit that reads best. */
export function duration(us: number): string {
  if (us < 1000) return `${us.toFixed(0)} us`
  return us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`
}
