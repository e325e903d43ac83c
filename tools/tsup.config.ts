import { packageBuild } from '../tsup.base.ts'

export default packageBuild(['{data,demo,torture,bench,sim}/**/*.ts', '!bench/peers/**'])
