// The workloads that are cut. Each is a pure function of its seed, and stands for one thing that the engine does with its files.
import type { OpenOptions } from '@drift/server'
import { goBack, repair, salvage } from './damage-steps.js'
import { room, squeezed, squeezedFlush } from './full-disk-steps.js'
import {
  backup,
  below,
  crash,
  create,
  drawRows,
  drop,
  forget,
  group,
  type Random,
  remove,
  removeGroup,
  removeIds,
  reopen,
  type Step,
  sync,
  update,
  upkeep,
  upsert,
  wait,
} from './steps.js'

export interface Workload {
  readonly options?: OpenOptions
  readonly steps: (random: Random) => readonly Step[]
}

const DOCS = 'docs'

/** Rows of a memtable: a few upserts fill it, and a flush begins by itself. */
const MEMTABLE = 8

export const WORKLOADS = {
  /** Insert, replace and delete, by id and by filter; flushes asked for and by themselves; reopened. */
  rows: {
    steps: random => [
      create(DOCS, MEMTABLE),
      ...mix(random, 20, [
        i => some(random, i),
        i => some(random, i),
        () => remove(DOCS, random),
        () => removeGroup(DOCS, random),
        () => upkeep(DOCS, 'flush'),
        () => wait(25),
        reopen,
      ]),
    ],
  },
  /** Collections come, go and come again under the same name. */
  collections: {
    steps: random => [
      create('a', MEMTABLE),
      ...mix(random, 16, [
        () => create(letter(random), MEMTABLE),
        () => drop(letter(random)),
        i => ifThere(letter(random), name => upsert(name, drawRows(random, i, { rows: 5 }))),
        () => ifThere(letter(random), name => upkeep(name, 'flush')),
        reopen,
      ]),
    ],
  },
  /** Payloads are merged into; their index is made and forgotten. */
  payloads: {
    steps: random => [
      create(DOCS, MEMTABLE),
      some(random, 0),
      upkeep(DOCS, 'createIndex'),
      ...mix(random, 16, [
        i => some(random, i),
        i => update(DOCS, random, i),
        i => update(DOCS, random, i),
        () => removeGroup(DOCS, random),
        () => upkeep(DOCS, random() < 0.5 ? 'createIndex' : 'dropIndex'),
        () => upkeep(DOCS, 'flush'),
        reopen,
      ]),
    ],
  },
  /** Writes that do not wait for each other share frames. */
  groups: {
    steps: random => [
      create(DOCS, 64),
      ...mix(random, 12, [
        i => group(DOCS, random, i),
        i => group(DOCS, random, i),
        () => upkeep(DOCS, 'flush'),
        () => wait(25),
      ]),
    ],
  },
  /** Large payloads go through several log files, which flushes make superfluous. */
  rotation: {
    steps: random => [
      create(DOCS, 64),
      ...mix(random, 12, [
        i => upsert(DOCS, drawRows(random, i, { rows: 3, text: 7_000 })),
        i => upsert(DOCS, drawRows(random, i, { rows: 2, text: 12_000 })),
        i => upsert(DOCS, drawRows(random, i, { rows: 1, text: 30_000 })),
        () => upkeep(DOCS, 'flush'),
      ]),
      upkeep(DOCS, 'flush'),
      some(random, 99),
    ],
  },
  /** The power fails and the database goes on, again and again: what survived is carried into a new log each time. */
  crashes: {
    steps: random => [
      create(DOCS, 16),
      ...mix(random, 14, [
        i => some(random, i),
        i => some(random, i),
        () => remove(DOCS, random),
        () => crash(random),
        () => crash(random),
      ]),
      upkeep(DOCS, 'flush'),
      crash(random),
      some(random, 99),
    ],
  },
  /** Segments become fewer; rows that were replaced or deleted go, and deletions that nothing older needs. */
  compaction: {
    steps: random => [
      create(DOCS, 64),
      ...mix(random, 12, [
        i => some(random, i),
        () => remove(DOCS, random),
        () => upkeep(DOCS, 'flush'),
        () => upkeep(DOCS, 'flush'),
        () => upkeep(DOCS, 'compact'),
      ]),
      upkeep(DOCS, 'compact'),
      reopen(),
    ],
  },
  /** Buckets are split, merged, moved and refined, and the partition is written. */
  maintenance: {
    steps: random => [
      create(DOCS, 200),
      ...[0, 1, 2].flatMap(i => [
        upsert(DOCS, drawRows(random, i, { rows: 150, firstId: 150 * i })),
        upkeep(DOCS, 'flush'),
        upkeep(DOCS, 'maintain'),
      ]),
      removeIds(
        DOCS,
        drawRows(random, 0, { rows: 140, firstId: 5 }).map(({ id }) => id),
      ),
      upkeep(DOCS, 'maintain'),
      reopen(),
      upkeep(DOCS, 'maintain'),
    ],
  },
  /** The stored index is used, outlived by rows and deletions, missing, and written again. */
  index: {
    steps: random => [
      create(DOCS, 64),
      upsert(DOCS, drawRows(random, 0, { rows: 40, firstId: 0 })),
      upkeep(DOCS, 'compact'),
      ...mix(random, 8, [
        i => some(random, i),
        () => remove(DOCS, random),
        () => upkeep(DOCS, 'flush'),
        () => forget(/^idx-/),
        reopen,
        () => upkeep(DOCS, 'compact'),
      ]),
    ],
  },
  /** Backups are taken while rows are written; each is whole or does not open. */
  backups: {
    steps: random => [
      create(DOCS, MEMTABLE),
      some(random, 0),
      upkeep(DOCS, 'flush'),
      backup(1, some(random, 1)),
      remove(DOCS, random),
      backup(2, upkeep(DOCS, 'flush')),
      some(random, 2),
      backup(3, upkeep(DOCS, 'compact')),
    ],
  },
  /** The disk fills up, refuses, and has room again. */
  full: {
    options: { minFreeBytes: 16 * 1024 },
    steps: random => [
      create(DOCS, 32),
      some(random, 0),
      ...Array.from({ length: 4 }, (_, i) => [
        room(below(random, 40) * 4096),
        squeezed(DOCS, drawRows(random, i, { rows: 3, text: 9_000 }), 3_000_000),
        squeezed(DOCS, drawRows(random, i + 0.1, { rows: 2, text: 9_000 }), 3_000_000),
        squeezedFlush(DOCS),
        squeezed(DOCS, drawRows(random, i + 0.2, { rows: 3, text: 9_000 }), 3_000_000),
        room(),
        some(random, i + 0.3),
      ]).flat(),
      upkeep(DOCS, 'flush'),
    ],
  },
  /** A batch of the log is damaged and the rest is salvaged; what was written last is taken back. */
  salvage: {
    steps: random => {
      const lost = drawRows(random, 1, { rows: 3, firstId: 400 })
      return [
        create(DOCS, 100),
        some(random, 0),
        upsert(DOCS, lost),
        ...mix(random, 4, [i => some(random, i), () => remove(DOCS, random)]),
        salvage(DOCS, lost),
        some(random, 2),
        goBack([some(random, 3), remove(DOCS, random), some(random, 4)]),
        some(random, 5),
        reopen(),
      ]
    },
  },
  /** A manifest, the stored index or FORMAT is damaged, and repaired without a loss. */
  repair: {
    steps: random => [
      create(DOCS, 64),
      upsert(DOCS, drawRows(random, 0, { rows: 40, firstId: 0 })),
      upkeep(DOCS, 'compact'),
      some(random, 1),
      ...(['index', 'manifest', 'format'] as const).flatMap((harm, i) => [
        some(random, i),
        repair(harm),
        some(random, i),
      ]),
    ],
  },
  /** Nothing is synced until it is asked for, or for a while: then a power cut takes only what came after. */
  unsynced: { options: { sync: 'os' }, steps: random => lazily(random, () => sync()) },
  interval: { options: { sync: { intervalMs: 50 } }, steps: random => lazily(random, () => wait(51, true)) },
} as const satisfies Record<string, Workload>

export type WorkloadName = keyof typeof WORKLOADS

function some(random: Random, version: number): Step {
  return upsert(DOCS, drawRows(random, version, { rows: 1 + below(random, 6) }))
}

function lazily(random: Random, syncing: () => Step): readonly Step[] {
  return [
    create(DOCS, 24),
    ...mix(random, 16, [
      i => some(random, i),
      i => some(random, i),
      () => remove(DOCS, random),
      syncing,
      () => upkeep(DOCS, 'flush'),
      reopen,
    ]),
  ]
}

function letter(random: Random): string {
  return 'abc'[below(random, 3)]!
}

/** Drawn whether or not it is there, so that the same seed gives the same steps. */
function ifThere(name: string, make: (name: string) => Step): Step {
  const step = make(name)
  return { title: step.title, run: async world => void (world.state.has(name) && (await step.run(world))) }
}

function mix(random: Random, steps: number, kinds: readonly ((i: number) => Step)[]): Step[] {
  return Array.from({ length: steps }, (_, i) => kinds[below(random, kinds.length)]!(i))
}
