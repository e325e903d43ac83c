// `npm run bench -- codecs`: pages of floats beside memcpy, of generated values and of each data set as it lies in its file and as it is
// compared.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { workspaceFolder } from '../data/place.js'
import { normalise } from '../data/unit-length.js'
import { type Source, vectorsOf } from './vectors.js'

/** More would not change the bits of a value. */
const ROWS = 20_000

export function codecs(sources: readonly Source[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'drift-codecs-'))
  try {
    const files: string[] = []
    const keep = (name: string, values: Float32Array): void => {
      files.push(join(folder, `${name}.f32`))
      writeFileSync(files.at(-1)!, values)
    }
    for (const source of sources) {
      const { base, dim } = vectorsOf(source, ROWS)
      keep(source.name, base)
      normalise(base, dim, source.name)
      keep(`${source.name}, unit length`, base)
    }
    const script = join(workspaceFolder, 'native', 'bench', 'pages.mjs')
    process.exitCode = spawnSync(process.execPath, [script, ...files], { stdio: 'inherit' }).status ?? 1
  } finally {
    rmSync(folder, { recursive: true })
  }
}
