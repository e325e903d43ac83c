/**
 * One folder of a simulated disk: the names that a power cut keeps, and the changes of names since the last sync.
 * Rules: a rename is one change, so it never leaves half of itself in one folder; a name that moved to another folder
 * disappears here only when it has appeared there, so a power cut shows it twice rather than not at all.
 */

import type { Choose, SimFile, Survival } from './sim-file.js'

export type SimNode = SimFile | SimFolder

/** One create, rename or remove as this folder sees it. */
export interface NameChange {
  readonly remove?: string
  readonly put?: readonly [name: string, node: SimNode]
  /** The change of the other folder that a move between folders belongs to. */
  readonly after?: { readonly folder: SimFolder; readonly change: NameChange }
}

export class SimFolder {
  readonly kind = 'folder'
  readonly bytes = 0
  /** What programs see. */
  readonly names: Map<string, SimNode> = new Map()
  #durable = new Map<string, SimNode>()
  #changes: NameChange[] = []

  /** Of all files below, as programs see them. */
  storedBytes(): number {
    let bytes = 0
    for (const node of this.names.values()) bytes += node.kind === 'folder' ? node.storedBytes() : node.bytes
    return bytes
  }

  change(change: NameChange): void {
    apply(change, this.names)
    this.#changes.push(change)
  }

  sync(): void {
    for (const { after } of this.#changes) if (after) after.folder.#syncThrough(after.change)
    this.#durable = new Map(this.names)
    this.#changes = []
  }

  /** Names are journaled in order: with one change goes all that came before it. */
  #syncThrough(change: NameChange): void {
    const index = this.#changes.indexOf(change)
    for (const earlier of this.#changes.splice(0, index + 1)) apply(earlier, this.#durable)
  }

  /** The tree below this folder in the memory of a system whose processes have ended. */
  copy(copies: Map<SimNode | NameChange, unknown> = new Map()): SimFolder {
    const copyNode = (node: SimNode): SimNode =>
      (copies.get(node) as SimNode | undefined) ??
      (node.kind === 'folder' ? node.copy(copies) : remember(copies, node, node.copy()))
    const copyChange = (change: NameChange): NameChange =>
      (copies.get(change) as NameChange | undefined) ??
      remember(copies, change, {
        ...(change.remove !== undefined && { remove: change.remove }),
        ...(change.put && { put: [change.put[0], copyNode(change.put[1])] as const }),
        ...(change.after && {
          after: {
            folder: copyNode(change.after.folder) as SimFolder,
            change: copyChange(change.after.change),
          },
        }),
      })
    const copy = remember(copies, this, new SimFolder())
    for (const [name, node] of this.#durable) copy.#durable.set(name, copyNode(node))
    for (const [name, node] of this.names) copy.names.set(name, copyNode(node))
    copy.#changes = this.#changes.map(copyChange)
    return copy
  }

  /** The tree below this folder after a power cut. */
  cut(data: Survival, entries: Survival, choose: Choose): SimFolder {
    const kept = new Set<NameChange>()
    for (const folder of this.#tree()) for (const change of folder.#chosen(entries, choose)) kept.add(change)
    const images = new Map<SimNode, SimNode>()
    const image = (node: SimNode): SimNode =>
      images.get(node) ??
      remember(images, node, node.kind === 'file' ? node.cut(data, choose) : new SimFolder())
    for (const folder of this.#tree()) {
      const after = image(folder) as SimFolder
      for (const [name, node] of folder.#namesWith(kept)) {
        after.names.set(name, image(node))
        after.#durable.set(name, image(node))
      }
    }
    return image(this) as SimFolder
  }

  #chosen(entries: Survival, choose: Choose): NameChange[] {
    const fate = entries === 'random' ? choose(4) : entries === 'all' ? 1 : 0
    if (fate === 0) return []
    if (fate === 1) return this.#changes
    if (fate === 2) return this.#changes.slice(0, choose(this.#changes.length + 1))
    return this.#changes.filter(() => choose(2) === 1)
  }

  #namesWith(kept: ReadonlySet<NameChange>): Map<string, SimNode> {
    const names = new Map(this.#durable)
    for (const change of this.#changes) {
      const arrived =
        !change.after ||
        kept.has(change.after.change) ||
        !change.after.folder.#changes.includes(change.after.change)
      if (kept.has(change) && arrived) apply(change, names)
    }
    return names
  }

  /** Every folder that some choice could leave, this one first. */
  #tree(found: Set<SimFolder> = new Set()): Set<SimFolder> {
    if (found.has(this)) return found
    found.add(this)
    const put = this.#changes.flatMap(change => (change.put ? [change.put[1]] : []))
    for (const node of [...this.#durable.values(), ...this.names.values(), ...put])
      if (node.kind === 'folder') node.#tree(found)
    return found
  }
}

function apply(change: NameChange, names: Map<string, SimNode>): void {
  if (change.remove !== undefined) names.delete(change.remove)
  if (change.put) names.set(change.put[0], change.put[1])
}

function remember<K, V>(copies: Map<K, unknown>, key: K, copy: V): V {
  copies.set(key, copy)
  return copy
}
