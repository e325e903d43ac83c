// Serves the folder that it is given and prints where. Somebody ends it.
import { closeOnSignals, serve } from '@drift/http'

const server = await serve({ db: process.argv[2], port: 0, logger: false, limits: { eventLoopDelayMs: 0 } })
closeOnSignals(server)
process.stdout.write(`${server.url}\n`)
