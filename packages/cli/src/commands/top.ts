/** `top`: a database as it is now, again and again until q or Ctrl-C; --once and --json print it and end. */
import { emitKeypressEvents } from 'node:readline'
import type { Command } from 'commander'
import { positive } from '../arguments.js'
import { EXIT } from '../errors.js'
import type { Report } from '../output.js'
import { openReader, type Reader, type Reading } from '../top/reading.js'
import { summaryOf, viewOf } from '../top/view.js'

/** Of searches a second, as wide as a narrow terminal shows. */
const HISTORY = 60
/** A reading takes at most this share of the time: opening a large folder takes seconds. */
const READING_SHARE = 0.1
/** The terminal's other screen: what was there before is there again afterwards. */
const ENTER_SCREEN = '\u001b[?1049h\u001b[H'
const LEAVE_SCREEN = '\u001b[?1049l'

export function addTop(program: Command, report: Report): void {
  program
    .command('top <database>')
    .summary('watch recall, latency, buckets, log and memory')
    .description(
      'watch recall, latency, buckets, log and memory; q or Ctrl-C ends. A folder is shown as it is on disk, a server also as it works',
    )
    .option('--once', 'print one reading and end, as where stdout is no terminal')
    .option('--interval <seconds>', 'between readings', positive, 2)
    .action(async (where: string, { once, interval }: { once?: boolean; interval: number }) => {
      const reader = await openReader(where, Date.now)
      try {
        if (once || report.json() || !process.stdout.isTTY) {
          const summary = summaryOf(await reader.read(), undefined)
          report(summary, viewOf(summary, []))
        } else report(undefined, undefined, await watch(reader, interval * 1000))
      } finally {
        await reader.close()
      }
    })
}

/** @returns the exit code. @throws what a reading threw, with the terminal as it was. */
async function watch(reader: Reader, intervalMs: number): Promise<number> {
  const { stdin, stdout } = process
  const { createLogUpdate } = await import('log-update')
  const screen = createLogUpdate(stdout)
  let ended: (code: number) => void = () => undefined
  const end = new Promise<number>(resolve => {
    ended = resolve
  })
  const onKey = (_: string, { name, ctrl }: { name?: string; ctrl?: boolean }): void => {
    if (name === 'q' || name === 'escape') ended(EXIT.done)
    if (ctrl && name === 'c') ended(EXIT.done)
  }
  const onSignal = (): void => ended(EXIT.done)
  const wasRaw = stdin.isRaw
  emitKeypressEvents(stdin)
  if (stdin.isTTY) stdin.setRawMode(true)
  stdin.on('keypress', onKey).resume()
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  stdout.write(ENTER_SCREEN)
  try {
    return await Promise.race([end, show(reader, intervalMs, end, text => screen(text))])
  } finally {
    screen.clear()
    screen.done()
    stdout.write(LEAVE_SCREEN)
    stdin.off('keypress', onKey).pause()
    if (stdin.isTTY) stdin.setRawMode(wasRaw)
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal)
  }
}

async function show(
  reader: Reader,
  intervalMs: number,
  end: Promise<number>,
  draw: (text: string) => void,
): Promise<number> {
  let before: Reading | undefined
  const searches: number[] = []
  for (;;) {
    const began = performance.now()
    try {
      const reading = await reader.read()
      const summary = summaryOf(reading, before)
      searches.push(before ? (summary.requests?.search.perSecond ?? 0) : 0)
      draw(`${viewOf(summary, searches.slice(-HISTORY))}\n\nq ends`)
      before = reading
    } catch (error) {
      // A server that is started again is waited for; one that was never there is an error.
      if (!before) throw error
      draw(`drift top  ${before.where}  no answer: ${(error as Error).message}\n\nq ends`)
    }
    const tookMs = performance.now() - began
    let timer: NodeJS.Timeout | undefined
    const pause = new Promise<undefined>(resolve => {
      timer = setTimeout(() => resolve(undefined), Math.max(intervalMs, tookMs / READING_SHARE))
    })
    const code = await Promise.race([end, pause])
    clearTimeout(timer)
    if (code !== undefined) return code
  }
}
