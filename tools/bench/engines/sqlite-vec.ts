// sqlite-vec in an SQLite database in memory: it scans all rows, exactly, inside SQL.
import { requirePeer } from '../peers.js'
import type { NodeEngine } from './engine-kind.js'

interface Statement {
  run(...values: unknown[]): unknown
  all(...values: unknown[]): unknown[]
  raw(): Statement
}

interface Database {
  prepare(sql: string): Statement
  exec(sql: string): void
  loadExtension(path: string): void
  close(): void
}

let Sqlite: (new (path: string) => Database) | undefined
let extension: { load(database: Database): void } | undefined

export const sqliteVec: NodeEngine = {
  name: 'sqlite-vec',
  configuration: 'vec0 table in memory, through better-sqlite3',
  limits: 'It has no approximate index: every query scans every row.',
  settings: () => [{}],
  peer: 'sqlite-vec',
  load() {
    Sqlite = requirePeer('better-sqlite3')
    extension = requirePeer('sqlite-vec')
    return Sqlite !== undefined && extension !== undefined
  },
  async fill({ rows, dim, metric }) {
    const database = new Sqlite!(':memory:')
    extension!.load(database)
    database.exec(
      `create virtual table rows using vec0(vector float[${dim}] distance_metric=${metric === 'ip' ? 'cosine' : 'l2'})`,
    )
    const add = database.prepare('insert into rows(rowid, vector) values (?, ?)')
    const insert = (numbers: readonly number[], values: Float32Array) => {
      database.exec('begin')
      for (const [i, number] of numbers.entries()) {
        add.run(BigInt(number), values.slice(i * dim, (i + 1) * dim))
      }
      database.exec('commit')
    }
    insert(
      Array.from({ length: rows.length / dim }, (_, i) => i),
      rows,
    )
    const search = database.prepare('select rowid from rows where vector match ? and k = ?').raw()
    const drop = database.prepare('delete from rows where rowid = ?')
    return {
      configure() {},
      search: (query, k) => (search.all(query, k) as number[][]).map(row => row[0]!),
      insert,
      remove(numbers) {
        database.exec('begin')
        for (const number of numbers) drop.run(BigInt(number))
        database.exec('commit')
      },
      close: () => database.close(),
    }
  },
}
