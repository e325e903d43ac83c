// What a build takes and where it is found: a C++ compiler, make and Python 3. Run as a script it prints them: an input of
// the caches' keys, because a compiler that appears later must lead to a new build and to new tests.
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'

/** First line of the compiler's version, or undefined when there is none. */
export function compilerVersion() {
  return process.env.CXX ? versionOf(process.env.CXX) : (versionOf('c++') ?? versionOf('g++'))
}

/** Name to version; undefined when it is not found. The commands are those that node-gyp would start. */
export function toolchain() {
  const { MAKE, PYTHON, npm_config_python } = process.env
  const pythons = [npm_config_python, PYTHON, 'python3', 'python'].filter(command => command)
  return {
    'C++ compiler': compilerVersion(),
    make: versionOf(MAKE || 'make'),
    'Python 3': pythons.map(versionOf).find(version => version?.startsWith('Python 3')),
  }
}

function versionOf(command) {
  const [file, ...flags] = command.split(' ')
  const { status, stdout } = spawnSync(file, [...flags, '--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.split('\n')[0] : undefined
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [name, version] of Object.entries(toolchain())) console.log(`${name}: ${version ?? 'none'}`)
}
