/**
 * .arrow and .arrows: record batches as the engine makes them, all of one schema, in an order in which a later run can go on. A run is of
 * one moment. Rule: a run goes on only where its rows make the schema that was written, which an Arrow file cannot change; else it begins
 * anew. A .arrow ends with an index of its batches, so a run that goes on reads those that are there.
 */
import { createReadStream } from 'node:fs'
import { extname } from 'node:path'
import type * as Arrow from 'apache-arrow'
import type { Rows } from '../target.js'
import type { Selection } from './sink.js'

const EXTENSIONS = ['.arrow', '.arrows', '.feather']
/** As the engine names it in the metadata of a batch. */
const CURSOR = 'drift.cursor'
/** "ARROW1" and padding. The writer puts the schema of a file to its end only. */
const FILE_HEAD_BYTES = 8
/** The mark of the end of a stream. */
const STREAM_END_BYTES = 8

export function isArrow(path: string): boolean {
  return EXTENSIONS.includes(extname(path).toLowerCase())
}

/** Where an Arrow file goes on. */
export interface ArrowPlace {
  readonly cursor: string
  readonly bytes: number
  /** An IPC stream without batches, as base64. */
  readonly schema?: string
}

interface ArrowPiece {
  readonly rows: number
  readonly bytes: readonly Uint8Array[]
  /** Behind it. */
  readonly cursor: string | undefined
}

export interface ArrowSink {
  /** Behind the place that was given; false: from the beginning. */
  readonly goesOn: boolean
  /** For `ArrowPlace`. */
  readonly schema: string
  readonly pieces: AsyncIterable<ArrowPiece>
  /** Behind the last piece. */
  end(): readonly Uint8Array[]
  /** Lets the rows go, wherever it is. */
  close(): Promise<void>
}

interface ArrowOptions extends Selection {
  /** Ends the reading at once. */
  readonly signal?: AbortSignal
}

/** @param part - holds what was written up to `place`. */
export async function arrowSink(
  rows: Rows,
  path: string,
  part: string,
  options: ArrowOptions,
  place: ArrowPlace | undefined,
): Promise<ArrowSink> {
  const arrow = await import('apache-arrow')
  // The file format ends with an index of its batches, the stream format does not.
  const isStream = extname(path).toLowerCase() === '.arrows'
  if (place?.schema !== undefined) {
    const out = new Output(arrow, isStream)
    // Before the rest is asked for: a server would wait for this.
    if (await isWritten(arrow, out, part, place, isStream, options.signal)) {
      const rest = await Batches.from(rows, options, place.cursor)
      const { schema } = arrow.tableFromIPC(Buffer.from(place.schema, 'base64'))
      if (columnsOf(rest.schema) === columnsOf(schema)) return sinkOfBatches(arrow, rest, schema, out, true)
      await rest.close()
    }
  }
  const all = await Batches.from(rows, options, undefined)
  return sinkOfBatches(arrow, all, all.schema, new Output(arrow, isStream), false)
}

function sinkOfBatches(
  arrow: typeof Arrow,
  batches: Batches,
  schema: Arrow.Schema,
  out: Output,
  goesOn: boolean,
): ArrowSink {
  return {
    goesOn,
    schema: Buffer.from(arrow.tableToIPC(new arrow.Table(schema))).toString('base64'),
    pieces: piecesOf(arrow, batches, schema, out, goesOn),
    end: out.end,
    close: () => batches.close(),
  }
}

async function* piecesOf(
  arrow: typeof Arrow,
  batches: Batches,
  schema: Arrow.Schema,
  out: Output,
  goesOn: boolean,
): AsyncGenerator<ArrowPiece, void, undefined> {
  for (let next = batches.first; !next.done; next = await batches.next()) {
    const batch = next.value
    // Without rows it is there for its schema.
    if (goesOn && batch.numRows === 0) continue
    const bytes = out.write(inOrderOf(arrow, batch, schema))
    yield { rows: batch.numRows, bytes, cursor: batch.metadata.get(CURSOR) }
  }
}

/** The engine's batches; a server sends them as one stream. The first is there, and with it the schema. */
class Batches {
  readonly first: IteratorResult<Arrow.RecordBatch>
  readonly #rest: AsyncIterator<Arrow.RecordBatch>
  /** What the batches are read from: Arrow's reader, let go, does not let it go. */
  readonly #source: AsyncGenerator<unknown, void>

  private constructor(
    first: IteratorResult<Arrow.RecordBatch>,
    rest: AsyncIterator<Arrow.RecordBatch>,
    source: AsyncGenerator<unknown, void>,
  ) {
    this.first = first
    this.#rest = rest
    this.#source = source
  }

  static async from(
    rows: Rows,
    { filter, signal }: ArrowOptions,
    cursor: string | undefined,
  ): Promise<Batches> {
    const { RecordBatchReader } = await import('apache-arrow')
    const { Collection } = await import('@drift/server')
    const given = rows.toArrow({
      ordered: true,
      ...(cursor === undefined ? {} : { cursor }),
      ...(filter === undefined ? {} : { filter }),
      ...(signal ? { signal } : {}),
    })
    const batches: AsyncIterable<Arrow.RecordBatch> =
      rows instanceof Collection
        ? (given as AsyncIterable<Arrow.RecordBatch>)
        : await RecordBatchReader.from(given as AsyncIterable<Uint8Array>)
    const rest = batches[Symbol.asyncIterator]()
    return new Batches(await rest.next(), rest, given)
  }

  get schema(): Arrow.Schema {
    return (this.first.value as Arrow.RecordBatch).schema
  }

  next(): Promise<IteratorResult<Arrow.RecordBatch>> {
    return this.#rest.next()
  }

  async close(): Promise<void> {
    await this.#source.return()
  }
}

/** Batches become bytes at once. */
class Output {
  readonly #writer: Arrow.RecordBatchWriter
  #bytes: Uint8Array[] = []

  constructor(arrow: typeof Arrow, isStream: boolean) {
    const bytes = (part: Uint8Array): void => void this.#bytes.push(part)
    class Sink extends arrow.AsyncByteQueue {
      override write(part: Uint8Array): void {
        bytes(part)
      }
    }
    this.#writer = isStream ? new arrow.RecordBatchStreamWriter() : new arrow.RecordBatchFileWriter()
    this.#writer.reset(new Sink())
  }

  write(batch: Arrow.RecordBatch): readonly Uint8Array[] {
    this.#writer.write(batch)
    return this.#take()
  }

  readonly end = (): readonly Uint8Array[] => {
    this.#writer.close()
    return this.#take()
  }

  #take(): readonly Uint8Array[] {
    const taken = this.#bytes
    this.#bytes = []
    return taken
  }
}

/** Gives `out` the batches of the file, for its index. @returns whether they are just what the file has up to the place. */
async function isWritten(
  arrow: typeof Arrow,
  out: Output,
  part: string,
  place: ArrowPlace,
  isStream: boolean,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const file = createReadStream(part, { start: isStream ? 0 : FILE_HEAD_BYTES, end: place.bytes - 1 })
  async function* asStream(): AsyncGenerator<Uint8Array> {
    if (!isStream) yield Buffer.from(place.schema!, 'base64').subarray(0, -STREAM_END_BYTES)
    yield* file
  }
  let bytes = 0
  try {
    for await (const batch of await arrow.RecordBatchReader.from(asStream())) {
      for (const { length } of out.write(batch)) bytes += length
      signal?.throwIfAborted()
    }
  } catch {
    signal?.throwIfAborted()
    // What cannot be read is no file to go on with: all rows are in the database still.
    return false
  } finally {
    file.destroy()
  }
  return bytes === place.bytes
}

/** The same for the same columns in whatever order. */
function columnsOf({ fields }: Arrow.Schema): string {
  const texts = fields.map(({ name, type, nullable, metadata }) =>
    JSON.stringify([name, String(type), nullable, ...metadata]),
  )
  return texts.sort().join()
}

/** Without metadata: the place of a batch is the engine's own. */
function inOrderOf(arrow: typeof Arrow, batch: Arrow.RecordBatch, schema: Arrow.Schema): Arrow.RecordBatch {
  const names = batch.schema.names
  const children = schema.names.map(name => batch.data.children[names.indexOf(name)]!)
  const type = new arrow.Struct(schema.fields)
  return new arrow.RecordBatch(
    schema,
    arrow.makeData({ type, length: batch.numRows, nullCount: 0, children }),
  )
}
