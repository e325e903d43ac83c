// Which C++ compiler is on the PATH. Run as a script it prints the compiler, or "none": an input of the build's cache
// key, because a compiler that appears later must lead to a new build.
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'

/** First line of the compiler's version, or undefined when there is none. */
export function compilerVersion() {
  if (process.env.CXX) return versionOf(process.env.CXX)
  return versionOf('c++') ?? versionOf('g++')
}

function versionOf(command) {
  const [file, ...flags] = command.split(' ')
  const { status, stdout } = spawnSync(file, [...flags, '--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.split('\n')[0] : undefined
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log(compilerVersion() ?? 'none')
