// The files of the workspace that the checks of the documents read.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceFolder } from '../data/place.js'

/** Folders of the published packages, relative to the workspace. */
export const packageFolders: readonly string[] = [
  'native',
  ...readdirSync(join(workspaceFolder, 'packages'))
    .map(name => `packages/${name}`)
    .filter(folder => existsSync(join(workspaceFolder, folder, 'package.json'))),
]

/** Sources of the published packages (TypeScript and C), tests left out; absolute paths. */
export function sourceFiles(): string[] {
  return packageFolders
    .flatMap(folder => ['lib', 'src'].map(sources => join(workspaceFolder, folder, sources)))
    .filter(folder => existsSync(folder))
    .flatMap(folder =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(name => join(folder, name)),
    )
    .filter(path => /\.(ts|c|cc|h)$/.test(path) && !path.endsWith('.test.ts'))
}
