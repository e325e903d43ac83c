// Every engine of the bench, Drift first.
import { ToolError } from '../../data/tool-error.js'
import { bruteForce } from './brute-force.js'
import { drift } from './drift.js'
import type { EngineKind, NodeEngine } from './engine-kind.js'
import { hnswlibNode } from './hnswlib-node.js'
import { lancedb } from './lancedb.js'
import { pythonEngines } from './python.js'
import { sqliteVec } from './sqlite-vec.js'
import { usearch } from './usearch.js'

const nodeEngines: readonly NodeEngine[] = [drift, bruteForce, hnswlibNode, usearch, lancedb, sqliteVec]

const engines: readonly EngineKind[] = [...nodeEngines, ...pythonEngines]

/** The engines of these names, or all. @throws ToolError ENGINE_NAME. */
export function enginesOf(names: readonly string[] | undefined): readonly EngineKind[] {
  return (
    names?.map(name => {
      const found = engines.find(engine => engine.name === name)
      if (found) return found
      const known = engines.map(engine => engine.name).join(', ')
      throw new ToolError('ENGINE_NAME', `${name}: no such engine; there are ${known}`)
    }) ?? engines
  )
}

/** The engine of that name when it runs in Node. */
export function nodeEngine(name: string): NodeEngine | undefined {
  return nodeEngines.find(engine => engine.name === name)
}
