// Which runbooks a command names. Rule: rows of a data set are read only when a runbook over them is asked for.
import { ToolError } from '../data/tool-error.js'
import { readRunbook } from './big-ann.js'
import { type RealStream, realKinds, realRunbook, realStreams } from './real.js'
import type { Runbook, Size } from './runbook.js'
import { runbook, runbookNames } from './runbooks.js'
import type { WorldName } from './world.js'

/**
 * @param data - a folder of data sets, or of one.
 * @param skip - gets the name of a runbook of `all` for which its set has too few rows, and why. Asked for by its name, it is an error.
 * @throws ToolError RUNBOOK, OPTION, DATA_SET, DATA_FOLDER, RUNBOOK_FILE.
 */
export function booksOf(
  names: readonly string[],
  size: Size,
  seed: number,
  data: string | undefined,
  skip: (name: string, why: string) => void,
): Runbook[] {
  let opened: RealStream[] | undefined
  const streams = () => {
    opened ??= data === undefined ? [] : realStreams(data)
    return opened
  }
  const real = () =>
    streams().flatMap(stream =>
      realKinds(stream).map(kind => ({
        name: `${stream.name}-${kind}`,
        make: () => realRunbook(stream, kind, size, seed),
      })),
    )
  return names.flatMap(name => {
    if (name === 'all') {
      const made = real().flatMap(book => {
        try {
          return [book.make()]
        } catch (error) {
          if (!(error instanceof ToolError) || error.code !== 'DATA_SET') throw error
          skip(book.name, error.message)
          return []
        }
      })
      return [...runbookNames.map(each => runbook(each, size, 'mix', seed)), ...made]
    }
    if (/\.(ya?ml|json)$/.test(name)) {
      const [stream] = streams()
      if (!stream) throw new ToolError('OPTION', `${name} names rows of a data set: give --data`)
      return [readRunbook(name, stream)]
    }
    const [play = '', world = 'mix', ...rest] = name.split('-')
    if (runbookNames.includes(play) && isWorld(world) && rest.length === 0)
      return [runbook(play, size, world, seed)]
    const found = real().find(book => book.name === name)
    if (found) return [found.make()]
    const known = [...runbookNames, ...real().map(book => book.name)]
    throw new ToolError('RUNBOOK', `${name}: there are ${known.join(', ')}`)
  })
}

function isWorld(name: string): name is WorldName {
  return name === 'mix' || name === 'hard' || name === 'iso'
}
