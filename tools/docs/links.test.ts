// Proves: every relative link of the documents leads to a file of the workspace and, where it names one, to a heading in it; every page
// of docs/ can be reached from docs/README.md.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { workspaceFolder } from '../data/place.js'
import { packageFolders } from './files.js'
import { anchorsIn, linksIn } from './links.js'

const read = (page: string): string => readFileSync(join(workspaceFolder, page), 'utf8')
const pagesOf = (folder: string): string[] =>
  readdirSync(join(workspaceFolder, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join(folder, name))
const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', join('tools', 'demo', 'data', 'README.md')],
  ...packageFolders.map(folder => join(folder, 'README.md')),
  ...pagesOf('docs'),
]

describe('links', () => {
  test('are found outside of code, with the anchors that they may name', () => {
    const text =
      '# A `b` [c](d.md)!\n[x](y.md#z) `[no](no.md)` ![p](p.svg) [w](https://w)\n```sh\n# n\n[n](n.md)\n```\n## A b c\n'
    expect(linksIn(text)).toEqual(['d.md', 'y.md#z', 'p.svg'])
    expect([...anchorsIn(text)]).toEqual(['a-b-c', 'a-b-c-1'])
  })

  test.each(pages)('of %s lead somewhere', page => {
    const broken = linksIn(read(page)).filter(link => {
      const [path, anchor] = link.split('#') as [string, string?]
      const target = path === '' ? page : normalize(join(dirname(page), path))
      if (!existsSync(join(workspaceFolder, target))) return true
      return anchor !== undefined && !anchorsIn(read(target)).has(anchor)
    })
    expect(broken).toEqual([])
  })

  test('lead from docs/README.md to every page of docs', () => {
    const seen = new Set<string>()
    const follow = (page: string): void => {
      if (seen.has(page)) return
      seen.add(page)
      for (const link of linksIn(read(page))) {
        const target = normalize(join(dirname(page), link.split('#')[0]!))
        if (!existsSync(join(workspaceFolder, target))) continue
        if (statSync(join(workspaceFolder, target)).isDirectory()) pagesOf(target).forEach(follow)
        else if (target.endsWith('.md')) follow(target)
      }
    }
    follow(join('docs', 'README.md'))
    expect(
      pagesOf('docs')
        .filter(page => !seen.has(page))
        .map(page => relative('docs', page)),
    ).toEqual([])
  })
})
