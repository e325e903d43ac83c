// Messages with views that are too large for V8 to tell another thread.
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { expect, it } from 'vitest'
import {
  allocateSlab,
  growSlab,
  MAX_ROW_SLAB_BYTES,
  MAX_SLAB_BYTES,
  packViews,
  unpackViews,
} from '../lib/index.js'

function sent<T>(message: T): T {
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(message)
  const { message: received } = receiveMessageOnPort(port2) as { message: T }
  port1.close()
  return received
}

it('a view that reaches far arrives as it was, wherever it is in the message, and shares its memory', () => {
  const floats = new Float32Array(new SharedArrayBuffer(4000), 400, 900)
  const bytes = new Uint8Array(new SharedArrayBuffer(100))
  const message = { kind: 'route', ids: [1, 2], deep: [{ floats, bytes, none: undefined }, { floats }], n: 3 }
  const packed = packViews(message, 1000)
  expect(message.deep[0]!.floats).toBe(floats)
  expect(packed.deep[0]!.bytes).toBe(bytes)
  expect(packed.deep[0]!.floats).not.toBe(floats)
  const received = unpackViews(sent(packed))
  expect(received).toEqual(message)
  floats[899] = 7
  expect([received.deep[0]!.floats![899], received.deep[1]!.floats![899]]).toEqual([7, 7])
})

it('a message of small views is passed on, not copied', () => {
  const message = { deep: { floats: new Float32Array(8), list: [{ a: 1 }] } }
  expect(packViews(message)).toBe(message)
  expect(unpackViews(message)).toBe(message)
})

it.runIf(MAX_ROW_SLAB_BYTES > MAX_SLAB_BYTES)('a view that ends beyond 4 GiB arrives whole', () => {
  const slab = allocateSlab(0, MAX_ROW_SLAB_BYTES)
  growSlab(slab, 2 ** 32 + 4096)
  const view = new Float32Array(slab, 0, 2 ** 30 + 1024)
  view[view.length - 1] = 5
  const received = unpackViews(sent(packViews({ view }))).view
  expect([received.length, received[view.length - 1]]).toEqual([view.length, 5])
})
