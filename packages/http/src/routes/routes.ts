/** Every route of /v1. */
import { collectionRoutes } from './collections.js'
import { operationRoutes } from './operations.js'
import { pointRoutes } from './points.js'
import type { Route } from './route.js'
import { searchRoutes } from './search.js'

export const routes: readonly Route[] = [
  ...collectionRoutes,
  ...pointRoutes,
  ...searchRoutes,
  ...operationRoutes,
]
