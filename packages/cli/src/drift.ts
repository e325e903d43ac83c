#!/usr/bin/env node
/** The command. */
import { run } from './program.js'

// Who reads has enough, as `drift query ... | head` does: what is left goes nowhere, and the command comes to its end.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

process.exitCode = await run(process.argv.slice(2), {
  out: text => process.stdout.write(`${text}\n`),
  err: text => process.stderr.write(`${text}\n`),
})
