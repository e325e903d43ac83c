// Proves: the example of a server of one's own runs as it stands: it takes texts, finds the nearest, refuses what its
// own schemas refuse, has the routes of Drift beside its own, and stops when it is told to.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from './fixture.js'

const program = fileURLToPath(new URL('../../../examples/custom-server/server.mjs', import.meta.url))

it('the custom server stores texts and finds the nearest', async () => {
  expect(readFileSync(program, 'utf8').split('\n').length).toBeLessThan(80)
  const child = spawn(process.execPath, [program, temporaryFolder()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const url = String(line).trim()
  const put = (id: string, body: object): Promise<Response> =>
    fetch(`${url}/notes/${id}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  expect((await put('1', { text: 'a torn page is found by its checksum', lang: 'en' })).status).toBe(200)
  expect((await put('2', { text: 'the cat sleeps on the warm roof', lang: 'en' })).status).toBe(200)
  expect((await put('3', { txet: 'misspelt' })).status).toBe(400)
  const found = (await (await fetch(`${url}/notes?q=torn+pages`)).json()) as { id: string; text: string }[]
  expect(found.map(({ id }) => id)).toEqual(['1', '2'])
  expect(found[0]?.text).toContain('torn page')
  expect((await fetch(`${url}/notes`)).status).toBe(400)
  const filtered = await fetch(`${url}/notes?q=torn&lang=de`)
  // Either the engine filters, or it refuses: it never answers without.
  if (filtered.status === 200) expect(await filtered.json()).toEqual([])
  else expect(await filtered.json()).toMatchObject({ error: { code: 'DRIFT_UNKNOWN_OPTION' } })
  const { collections } = (await (await fetch(`${url}/v1/collections`)).json()) as { collections: object[] }
  expect(collections).toEqual([{ name: 'notes', dim: 256, metric: 'cosine', rows: 2 }])
  child.kill('SIGTERM')
  expect((await once(child, 'exit'))[0]).toBe(0)
})
