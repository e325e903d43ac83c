/**
 * The client as a page has it: one bundle for browsers, run where there is nothing but what the language and the web platform
 * have: no process, no Buffer, no require, no modules.
 */
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import type { connect } from '@drift/client'
import { build } from 'esbuild'

const WEB = {
  AbortController,
  AbortSignal,
  ReadableStream,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  clearTimeout,
  crypto,
  fetch,
  queueMicrotask,
  setTimeout,
}
/** Shared with the test, so that what goes in and out is of the same kinds; a page has them itself. */
const LANGUAGE = {
  ArrayBuffer,
  DataView,
  Float32Array,
  Uint8Array,
  Uint16Array,
  Uint32Array,
  Error,
  RangeError,
}

/** A script that defines `drift`. @throws esbuild's errors when the client imports what a browser does not have. */
export async function bundledClient(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(import.meta.resolve('@drift/client'))],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'drift',
    target: 'es2022',
  })
  return outputFiles[0]!.text
}

export async function connectInBrowser(): Promise<typeof connect> {
  const page = createContext({ ...WEB, ...LANGUAGE })
  runInContext(await bundledClient(), page)
  return runInContext('drift.connect', page) as typeof connect
}
