import { packageBuild } from '../tsup.base.ts'

// Programs, file by file: some start others, or find their data, beside themselves.
export default packageBuild(['{data,demo,torture,bench,sim}/**/*.ts', '!bench/peers/**', '!**/*.test.ts'], {
  bundle: false,
})
