/** The OpenAPI 3.1 document, from the routes and their schemas: what is described is what is checked. */
import { readFileSync } from 'node:fs'
import { ARROW_TYPE, FRAME_TYPE, IDEMPOTENCY_HEADER } from '@drift/client/wire'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifySchema } from 'fastify'
import type { RouteConfig } from './asked.js'
import type { Route } from './routes/route.js'
import { routes } from './routes/routes.js'
import { ErrorAnswer } from './schema.js'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** Everything else with a body is said to need it. */
const OPTIONAL_BODIES = new Set(routes.filter(route => route.bodyOptional).map(route => route.operation))

export function openApi(locked: boolean): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Drift', version, description: 'A durable vector engine. Errors: docs/errors.md.' },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      ...(locked ? { security: [{ key: [] }] } : {}),
    },
    transform({ schema, url, route }) {
      const ours = (route.config as RouteConfig | undefined)?.route
      return { schema: ours ? schemaOf(ours) : schema, url }
    },
    transformObject(document) {
      if (!('openapiObject' in document)) return document.swaggerObject
      const { openapiObject } = document
      for (const methods of Object.values(openapiObject.paths ?? {})) {
        for (const operation of Object.values(methods ?? {}) as {
          operationId?: string
          requestBody?: object
        }[]) {
          if (operation.operationId === undefined || !OPTIONAL_BODIES.has(operation.operationId)) continue
          Object.assign(operation.requestBody!, { required: false })
        }
      }
      return openapiObject
    },
  }
}

/** What the document shows of a route. */
function schemaOf(route: Route): FastifySchema {
  const { body, example } = route
  const content: Record<string, unknown> = {}
  if (body) content['application/json'] = { schema: { ...body, examples: [example.body] } }
  if (route.frames) content[FRAME_TYPE] = { schema: {} }
  if (route.arrow) content[ARROW_TYPE] = { schema: {} }
  const params = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => [name!, { type: 'string' }])
  const answers = Object.fromEntries((route.answers ?? []).map(type => [type, { schema: {} }]))
  const answer = { schema: { ...route.answer, examples: [example.answer] } }
  const documented = {
    operationId: route.operation,
    summary: route.summary,
    description: `Takes the scope \`${route.scope}\`.`,
    ...(body ? { body: { content } } : {}),
    ...(params.length > 0 ? { params: { type: 'object', properties: Object.fromEntries(params) } } : {}),
    ...(route.query ? { querystring: route.query } : {}),
    ...(route.writes
      ? {
          headers: {
            type: 'object',
            properties: {
              [IDEMPOTENCY_HEADER]: { type: 'string', description: 'sent again, the write is applied once' },
            },
          },
        }
      : {}),
    response: {
      200: { description: 'Done', content: { [route.answerType ?? 'application/json']: answer, ...answers } },
      '4xx': {
        description: 'Refused; nothing has changed',
        content: { 'application/json': { schema: ErrorAnswer } },
      },
      '5xx': { description: 'Not now', content: { 'application/json': { schema: ErrorAnswer } } },
    },
  }
  return documented as FastifySchema
}
