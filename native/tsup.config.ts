import { packageBuild } from '../tsup.base.ts'

export default packageBuild(['lib/index.ts'])
