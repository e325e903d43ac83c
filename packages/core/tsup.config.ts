import { packageBuild } from '../../tsup.base.ts'

export default packageBuild(['src/index.ts', 'src/wal/thread.ts', 'src/pool/worker.ts'])
