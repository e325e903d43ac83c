/** Proves that the bytes of a log file say what was put in, that every flipped bit of a header is seen, and that a payload's lengths are checked. */

import { expect, test } from 'vitest'
import {
  chainAfter,
  decodeFileHeader,
  decodeFrameHeader,
  decodeRecords,
  encodeFileHeader,
  encodeFrameHeader,
  encodeRecords,
  FRAME_HEADER_BYTES,
  FRAME_TYPE,
  frameBytes,
  frameSeed,
  PAGE_BYTES,
  payloadMatches,
  storedBytes,
  walFileName,
  walFileNumber,
} from './format.js'

const FILE_HEADER = {
  database: Uint8Array.from({ length: 16 }, (_, index) => index * 11),
  file: 7,
  nonce: 0xfedc_ba98_7654_3210n,
  fileBytes: 2 ** 40,
  isRecycled: true,
  firstLsn: Number.MAX_SAFE_INTEGER,
  firstBatch: 2 ** 33 + 1,
  previousFile: 6,
  previousBatch: 2 ** 33,
  previousChain: 0xffff_ffff,
}

const FRAME_FIELDS = {
  type: FRAME_TYPE.data,
  payloadBytes: 40,
  firstLsn: 2 ** 40 + 3,
  records: 3,
  lowNonce: 0x89ab_cdef,
  batch: 2 ** 41,
  durableBatch: 2 ** 41 - 1,
  chain: 0xdead_beef,
}

function frame(): Uint8Array {
  const bytes = new Uint8Array(frameBytes(FRAME_FIELDS.payloadBytes))
  encodeRecords(
    [new Uint8Array(0), Uint8Array.of(1, 2, 3), Uint8Array.of(4)],
    bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + FRAME_FIELDS.payloadBytes),
  )
  return bytes
}

test('a file header comes back as it went in', () => {
  expect(decodeFileHeader(encodeFileHeader(FILE_HEADER))).toEqual(FILE_HEADER)
})

test('every flipped bit of a file header is seen', () => {
  const page = encodeFileHeader(FILE_HEADER)
  for (let bit = 0; bit < page.length * 8; bit++) {
    page[bit >> 3]! ^= 1 << (bit & 7)
    if (decodeFileHeader(page) !== undefined) expect.fail(`bit ${bit}`)
    page[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(decodeFileHeader(page)).toBeDefined()
  expect(decodeFileHeader(page.subarray(0, PAGE_BYTES - 1))).toBeUndefined()
})

test('a frame header comes back as it went in, with the chain of the next', () => {
  const bytes = frame()
  const chain = encodeFrameHeader(bytes, FRAME_FIELDS, 99)
  const header = decodeFrameHeader(bytes, () => 99)
  expect(header).toMatchObject(FRAME_FIELDS)
  expect(chainAfter(header!)).toBe(chain)
})

test('a frame that was copied to another offset, file or log does not validate', () => {
  const nonce = 123n
  const bytes = frame()
  encodeFrameHeader(bytes, FRAME_FIELDS, frameSeed(nonce, 1, 4096))
  expect(decodeFrameHeader(bytes, () => frameSeed(nonce, 1, 4096))).toBeDefined()
  for (const seed of [frameSeed(nonce, 1, 8192), frameSeed(nonce, 2, 4096), frameSeed(nonce + 1n, 1, 4096)])
    expect(decodeFrameHeader(bytes, () => seed)).toBeUndefined()
})

test('every flipped bit of a frame header or payload is seen', () => {
  const bytes = frame()
  encodeFrameHeader(bytes, FRAME_FIELDS, 5)
  const end = FRAME_HEADER_BYTES + FRAME_FIELDS.payloadBytes
  const valid = (): boolean => {
    const header = decodeFrameHeader(bytes, () => 5)
    return header !== undefined && payloadMatches(bytes.subarray(FRAME_HEADER_BYTES, end), header)
  }
  for (let bit = 0; bit < end * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    if (valid()) expect.fail(`bit ${bit}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(valid()).toBe(true)
})

test('records of every length come back, and wrong counts or lengths are refused', () => {
  const records = Array.from({ length: 40 }, (_, length) => new Uint8Array(length).fill(length))
  const payload = new Uint8Array(records.reduce((sum, record) => sum + storedBytes(record.length), 0)).fill(
    255,
  )
  encodeRecords(records, payload)
  expect(decodeRecords(payload, 40)).toEqual(records)
  expect(decodeRecords(payload, 39)).toBeUndefined()
  expect(decodeRecords(payload.subarray(0, -8), 40)).toBeUndefined()
  payload[0] = 255
  payload[3] = 255
  expect(decodeRecords(payload, 40)).toBeUndefined()
  expect(decodeRecords(new Uint8Array(0), 0)).toEqual([])
})

test('only the names of log files give a number', () => {
  expect(walFileNumber(walFileName(42))).toBe(42)
  for (const name of ['wal-1.drw', `tmp-${walFileName(1)}`, `${walFileName(1)}.bak`, walFileName(0), 'LOCK'])
    expect(walFileNumber(name)).toBeUndefined()
})
