/** `stats`, `flush`, `maintain`, `compact`, `drop`, `backup`, `check`, `repair`: looking after a database. */
import type { CheckReport, RepairReport } from '@drift/server'
import type { Command } from 'commander'
import { CliError, EXIT } from '../errors.js'
import type { Report } from '../output.js'
import { call, isUrl, withTarget } from '../target.js'

export function addOperations(program: Command, report: Report): void {
  program
    .command('stats <database> [collection]')
    .description('rows, buckets, segments, bytes, log, recall')
    .action((where: string, name?: string) =>
      withTarget(where, 'read', async target =>
        report(name === undefined ? await target.db.stats() : await (await target.collection(name)).stats()),
      ),
    )
  for (const [verb, description] of [
    ['flush', 'write rows that are only in the log to a segment'],
    ['maintain', 'bring rows and buckets together now'],
    ['compact', 'merge segments and give back the space of dead rows'],
  ] as const) {
    program
      .command(`${verb} <database> <collection>`)
      .description(description)
      .action((where: string, name: string) =>
        withTarget(where, 'write', async target =>
          report((await call(await target.collection(name), verb)) ?? {}, 'done'),
        ),
      )
  }
  program
    .command('drop <database> <collection>')
    .description('remove a collection and its rows for good')
    .action((where: string, name: string) =>
      withTarget(where, 'write', async target => {
        const dropped = await target.db.drop(name)
        if (!dropped)
          throw new CliError('DRIFT_NO_COLLECTION', `there is no collection '${name}' in ${where}`)
        report({ dropped }, 'dropped')
      }),
    )
  program
    .command('backup <database> <destination>')
    .description(
      "copy a database while it is in use: into a folder, or under a name in the server's backup folder",
    )
    .action((where: string, to: string) =>
      withTarget(where, 'write', async target =>
        report((await call(target.db, 'backup', to)) ?? {}, `backed up to ${to}`),
      ),
    )
  program
    .command('check <database>')
    .description('verify every file; exit code 4 when something is wrong')
    .action(async (where: string) => {
      const found = isUrl(where)
        ? ((await withTarget(where, 'read', target => call(target.db, 'check'))) as CheckReport)
        : await (await import('@drift/server')).Drift.check(where)
      report(found, checkText(found), found.ok ? EXIT.done : EXIT.found)
    })
  program
    .command('repair <folder>')
    .description('make a damaged database open again; what would be lost is listed and takes --accept-loss')
    .option('--accept-loss', 'go on although rows are lost')
    .action(async (folder: string, options: { acceptLoss?: boolean }) => {
      const { Drift } = await import('@drift/server')
      const repaired: RepairReport = await Drift.repair(folder, options)
      report(repaired)
    })
}

function checkText({ ok, files, bytes, findings }: CheckReport): string {
  const lines = findings.map(
    ({ severity, kind, file, offset, message }) =>
      `${severity}  ${kind}  ${file}${offset === undefined ? '' : ` at ${offset}`}: ${message}`,
  )
  return [...lines, `${ok ? 'ok' : 'not ok'}: ${files} files, ${bytes} bytes`].join('\n')
}
