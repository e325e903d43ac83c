// Wrong arguments: the same coded error from every variant, before any memory is touched.
import { createContext, runInContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import {
  allocateHnsw,
  floatPageRoom,
  hnswCapacity,
  hnswRows,
  kernelsOf,
  NativeError,
  supportedVariants,
} from '../lib/index.js'
import { random } from './random.js'

/** A good call of each kernel; each test spoils one argument. Eight rows of four values. */
function goodCalls() {
  const graph = allocateHnsw({ capacity: 8, M: 4, efConstruction: 10, seed: 1 })
  hnswRows(graph).set([0, 1, 2, 3, 4, 5, 6, 7])
  const rows = Float32Array.from({ length: 32 }, (_, i) => (i * 7) % 13)
  const query = Float32Array.of(1, 2, 3, 4)
  const index = Uint32Array.of(7, 0, 3)
  const f32 = (n: number): Float32Array => new Float32Array(n)
  return {
    distances: ['l2', query, rows, 4, 1, 7, f32(7)],
    distancesGather: ['ip', query, rows, 4, index, 3, f32(3)],
    nearest: [rows, 4, index, 3, rows.slice(), 8, new Uint32Array(3), f32(3)],
    nearestByHeads: [rows, 4, index, 3, rows.slice(), 8, f32(6), 2, f32(16), 0, new Uint32Array(3), f32(3)],
    project: [rows, 4, index, 3, query, rows.slice(), 8, f32(27)],
    sumRows: [rows, 4, index, Uint32Array.of(1, 0, 1), 3, new Float64Array(8)],
    sq8Encode: [rows, 4, 1, 7, new Uint8Array(32), f32(16)],
    sq8Query: [query, new Int8Array(4), f32(3)],
    sq8Distances: ['l2', new Int8Array(4), f32(3), new Uint8Array(32), f32(16), 4, 1, 7, f32(7)],
    sq8DistancesGather: ['l2', new Int8Array(4), f32(3), new Uint8Array(32), f32(16), 4, index, 3, f32(3)],
    topK: [rows, 32, 5, new Uint32Array(5), f32(5)],
    hnswInsert: [graph, 'l2', rows, 4, 8, new Uint8Array(32), f32(16), 4],
    hnswSearch: [
      ...[graph, 'l2', rows, 4, query, 8, Uint32Array.of(255), new Uint32Array(8), f32(8)],
      ...[new Int8Array(4), f32(3), new Uint8Array(32), f32(16)],
    ],
    lutDistances: [f32(1024), 4, new Uint8Array(32), 1, 7, f32(7)],
    fastScan: [new Uint8Array(64), 4, new Uint8Array(144), 72, 2, new Uint16Array(64)],
    affineDistances: ['ip', query, f32(4), new Uint8Array(32), 4, 1, 7, f32(7)],
    squaredLengths: [rows, 4, 8, new Float64Array(8)],
    normalise: [rows, 4, 8, f32(32)],
    encodeRows: [
      ...[rows, 4, index, true, f32(32), index.slice(), 64, new Uint32Array(128), index.slice()],
      ...[new Uint8Array(512), f32(16)],
    ],
    crc32c: [new Uint8Array(9), 5],
    hash64: [new Uint8Array(9), 5n],
    bitsAnd: [new Uint32Array(3), new Uint32Array(4), 3, new Uint32Array(3)],
  } satisfies Record<string, unknown[]>
}

type Name = keyof ReturnType<typeof goodCalls>
/** The only argument that is a measure, not a count. */
const SLACK = 9
const NAMES = Object.keys(goodCalls()) as Name[]

describe.each(supportedVariants())('%s', variant => {
  const kernels = kernelsOf(variant) as unknown as Record<Name, (...args: unknown[]) => unknown>

  it.each(NAMES)('%s accepts what its contract says', name => {
    expect(() => kernels[name](...goodCalls()[name])).not.toThrow()
  })

  it.each(NAMES)('%s refuses each spoiled argument and touches nothing', name => {
    const tried = goodCalls()[name].length
    for (let at = 0; at < tried; at++) {
      for (const spoil of spoilersOf(goodCalls()[name][at])) {
        if (name === 'nearestByHeads' && at === SLACK && (spoil === 0.5 || spoil === 2 ** 32)) continue
        const args: unknown[] = goodCalls()[name]
        args[at] = spoil
        const before = snapshot(args)
        refuse(() => kernels[name](...args), `${name}, argument ${at} = ${describeValue(spoil)}`)
        expect(snapshot(args)).toBe(before)
      }
    }
  })

  it('refuses row numbers beyond the matrix, in every list that names rows', () => {
    for (const name of [
      'distancesGather',
      'nearest',
      'nearestByHeads',
      'project',
      'sumRows',
      'sq8DistancesGather',
      'encodeRows',
    ] as const) {
      const args: unknown[] = goodCalls()[name]
      const at = args.findIndex(arg => arg instanceof Uint32Array)
      args[at] = Uint32Array.of(0, 8, 0)
      refuse(() => kernels[name](...args), name)
      args[at] = Uint32Array.of(0, 0xffff_ffff, 0)
      refuse(() => kernels[name](...args), name)
    }
    const args = goodCalls().hnswInsert
    hnswRows(args[0] as Uint32Array)[3] = 8
    refuse(() => kernels.hnswInsert(...args), 'hnswInsert')
  })

  it('refuses a view that is one value short', () => {
    const shortened: [Name, number[]][] = [
      ['distances', [1, 2, 6]],
      ['distancesGather', [1, 4, 6]],
      ['nearest', [2, 4, 6, 7]],
      ['nearestByHeads', [2, 4, 6, 8, 10, 11]],
      ['project', [2, 4, 5, 7]],
      ['sumRows', [2, 3, 5]],
      ['sq8Encode', [0, 4, 5]],
      ['sq8Query', [1, 2]],
      ['sq8Distances', [1, 2, 3, 4, 8]],
      ['sq8DistancesGather', [1, 2, 6, 8]],
      ['topK', [0, 3, 4]],
      ['lutDistances', [0, 2, 5]],
      ['fastScan', [0, 2, 5]],
      ['affineDistances', [1, 2, 3, 7]],
      ['hnswInsert', [0, 2, 5, 6]],
      ['hnswSearch', [0, 4, 8, 10]],
      ['squaredLengths', [0, 3]],
      ['normalise', [0, 3]],
      ['encodeRows', [0, 4, 5, 7, 8, 9, 10]],
    ]
    for (const [name, places] of shortened) {
      for (const at of places) {
        const args: unknown[] = goodCalls()[name]
        const view = args[at] as Uint8Array
        args[at] = view.subarray(0, view.length - 1)
        refuse(() => kernels[name](...args), `${name}, argument ${at}`)
      }
    }
  })

  it('refuses counts and ranges that reach beyond their arrays', () => {
    const spoiled: [Name, number, unknown][] = [
      ['distances', 4, 2],
      ['distances', 5, 8],
      ['distances', 3, 5],
      ['distancesGather', 5, 4],
      ['nearest', 5, 9],
      ['nearest', 5, 0],
      ['nearestByHeads', 5, 9],
      ['nearestByHeads', 7, 3],
      ['nearestByHeads', 9, -1],
      ['nearestByHeads', 9, Number.NaN],
      ['project', 6, 9],
      ['sumRows', 4, 4],
      ['sumRows', 3, Uint32Array.of(1, 0, 2)],
      ['sq8Encode', 3, 8],
      ['sq8Distances', 6, 2],
      ['topK', 1, 33],
      ['lutDistances', 1, 5],
      ['lutDistances', 3, 2],
      ['fastScan', 1, 5],
      ['fastScan', 3, 63],
      ['fastScan', 3, 73],
      ['fastScan', 4, 3],
      ['affineDistances', 5, 2],
      ['topK', 2, 6],
      ['hnswInsert', 4, 9],
      ['hnswSearch', 5, 0],
    ]
    for (const [name, at, value] of spoiled) {
      const args: unknown[] = goodCalls()[name]
      args[at] = value
      refuse(() => kernels[name](...args), `${name}, argument ${at} = ${value}`)
    }
  })

  it('refuses words that are not a graph', () => {
    const call = (graph: Uint32Array): unknown => kernels.hnswInsert(graph, 'l2', new Float32Array(32), 4, 1)
    for (const length of [0, 1, 31, 32, 500])
      refuse(() => call(new Uint32Array(length)), `${length} zero words`)
    const { below } = random(20)
    const sound = allocateHnsw({ capacity: 8, M: 4, seed: 1 })
    refuse(() => call(sound.subarray(0, sound.length - 1)), 'a cut graph')
    const endless = sound.slice()
    endless[3] = 0xffff_ffff
    refuse(() => call(endless), 'a beam that no memory holds')
    // Whatever the header says, the call is refused or stays inside: it never ends the process.
    for (let round = 0; round < 500; round++) {
      const graph = sound.slice()
      graph[below(32)] = below(2) ? below(100) : 0xffff_ffff - below(100)
      try {
        call(graph)
      } catch (error) {
        expect(error).toBeInstanceOf(NativeError)
      }
    }
  })

  it('survives arguments of any kind in any place', () => {
    const { below } = random(21)
    for (let round = 0; round < 3000; round++) {
      const name = NAMES[below(NAMES.length)]!
      const args: unknown[] = goodCalls()[name]
      for (let n = 1 + below(3); n > 0; n--) {
        const at = below(args.length)
        const spoilers = spoilersOf(args[at])
        args[at] =
          below(4) === 0 ? goodCalls()[NAMES[below(NAMES.length)]!][0] : spoilers[below(spoilers.length)]
      }
      try {
        kernels[name](...args)
      } catch (error) {
        expect(error, `${name}(${args.map(describeValue).join(', ')})`).toBeInstanceOf(NativeError)
      }
    }
  })

  it('accepts typed arrays of another realm', () => {
    const query: Float32Array = runInContext('Float32Array.of(1, 2)', createContext())
    expect(query).not.toBeInstanceOf(Float32Array)
    const out = new Float32Array(1)
    kernelsOf(variant).distances('l2', query, Float32Array.of(4, 6), 2, 0, 1, out)
    expect(out[0]).toBe(25)
  })

  it.each(['Float32Array', 'Float64Array'] as const)('encodes and decodes a %s of another realm', name => {
    const { floatPageEncode, floatPageDecode } = kernelsOf(variant)
    const [values, out]: Float32Array[] = runInContext(
      `[${name}.of(1, 2, 3.5), new ${name}(3)]`,
      createContext(),
    )
    const page = new Uint8Array(floatPageRoom(3, values!.BYTES_PER_ELEMENT))
    floatPageDecode(page.subarray(0, floatPageEncode(values!, page)), 3, 0, out!)
    expect([...out!]).toEqual([1, 2, 3.5])
  })
})

describe('allocateHnsw', () => {
  it.each([undefined, null])('is refused with a code when its options are %s', options => {
    expect(() => allocateHnsw(options as never)).toThrow(NativeError)
  })

  it('refuses options that no graph can have', () => {
    for (const options of [
      { capacity: -1, seed: 0 },
      { capacity: 1.5, seed: 0 },
      { capacity: 2 ** 30, seed: 0 },
      { capacity: 5, M: 1, seed: 0 },
      { capacity: 5, M: 257, seed: 0 },
      { capacity: 5, efConstruction: 0, seed: 0 },
      { capacity: 5, seed: -1 },
      { capacity: 5, seed: Number.NaN },
    ]) {
      expect(() => allocateHnsw(options), JSON.stringify(options)).toThrow(NativeError)
    }
    expect(() => hnswCapacity(new Uint32Array(40))).toThrow(NativeError)
  })
})

/** Values that are wrong in place of `good`: of another kind, too short, not a number of the right kind. */
function spoilersOf(good: unknown): unknown[] {
  const other: unknown[] = [
    undefined,
    null,
    {},
    [1, 2, 3, 4],
    'cosine',
    Symbol('s'),
    good instanceof Float64Array ? new Float32Array(64) : new Float64Array(64),
    new DataView(new ArrayBuffer(64)),
  ]
  if (typeof good === 'number')
    return [...others(other), -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, '4', 4n]
  if (typeof good === 'bigint') return [null, {}, 'x', 5, -1n, 1n << 64n]
  if (!ArrayBuffer.isView(good)) return [...other, 0, 1]
  return [...other, 4, Object.create(Object.getPrototypeOf(good))]
}

/** A number that is left out may have a default. */
function others(all: readonly unknown[]): unknown[] {
  return all.filter(value => value !== undefined)
}

function refuse(call: () => unknown, what: string): void {
  let thrown: unknown
  try {
    call()
  } catch (error) {
    thrown = error
  }
  expect(thrown, what).toBeInstanceOf(NativeError)
  expect(['DRIFT_KERNEL_ARGUMENT', 'DRIFT_HNSW_LAYOUT'], what).toContain((thrown as NativeError).code)
}

function snapshot(args: readonly unknown[]): string {
  return JSON.stringify(
    args.map(arg => (ArrayBuffer.isView(arg) ? Buffer.from(arg.buffer).toString('hex') : '')),
  )
}

function describeValue(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`
  return typeof value === 'object' ? 'an object' : String(value)
}
