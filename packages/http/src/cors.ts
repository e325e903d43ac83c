/**
 * Pages of other origins: a browser lets a page read an answer only where the server names the page's origin. Rule: none is named unless
 * the owner did, none by a pattern, and a key travels in its header, never as a cookie.
 */
import { IDEMPOTENCY_HEADER } from '@drift/client/wire'
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { HttpError } from './errors.js'

/** How long a browser may keep what it was told, in seconds. */
const MAX_AGE = 600

/** @throws HttpError DRIFT_OPTION for what is no origin, such as `*` or a URL with a path. */
export function assertOrigins(origins: readonly string[]): void {
  for (const origin of origins) {
    if (isOrigin(origin)) continue
    throw new HttpError(
      'DRIFT_OPTION',
      `'${origin}' is no origin, expected such as https://app.example.com`,
      {
        option: 'origins',
      },
    )
  }
}

/** Has to stand before the guard: a browser asks without a key what it may send. */
export async function nameOrigins(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', IDEMPOTENCY_HEADER],
    exposedHeaders: ['retry-after', 'x-request-id'],
    maxAge: MAX_AGE,
    // OPTIONS from who is no browser gets the same answer, and no error of another form.
    strictPreflight: false,
  })
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
