// Where the tools' own files lie. The same from the sources and from dist, which has the shape of the sources.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = join(dirname(fileURLToPath(import.meta.url)), '..')

/** The folder `tools`. */
export const toolsFolder: string = here.endsWith('dist') ? dirname(here) : here

/** The folder that holds the workspace. */
export const workspaceFolder: string = dirname(toolsFolder)

/** The demo's bundled input. */
export const bundledData: string = join(toolsFolder, 'demo', 'data')
