// Prints which C++ compiler is on the PATH, or "none". An input of the build's cache key: a compiler that
// appears later must lead to a new build.
import { spawnSync } from 'node:child_process'

const compiler = process.env.CXX ?? (process.platform === 'win32' ? 'cl' : 'c++')
const { status, stdout } = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
console.log(status === 0 ? stdout.split('\n')[0] : 'none')
