/**
 * `completions`: a script for bash, zsh or fish, made of the commands as they are. Rule: where neither a command nor an
 * option fits, the shell completes files, as databases and most arguments are.
 */
import { Argument, type Command, type Option } from 'commander'
import type { Report } from '../output.js'

const SCRIPTS: Readonly<Record<string, (program: Command) => string>> = { bash, zsh, fish }

export function addCompletions(program: Command, report: Report): void {
  program
    .command('completions')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .description('a script that completes commands and options: source <(drift completions bash)')
    .action((shell: string) => {
      const script = SCRIPTS[shell]!(program)
      report({ shell, script }, script)
    })
}

function bash(program: Command): string {
  const cases = program.commands.map(
    command => `    ${command.name()}) words='${longs(command).join(' ')}' ;;`,
  )
  const first = [...program.commands.map(command => command.name()), ...longs(program)]
  return `# drift for bash: source <(drift completions bash)
_drift() {
  local current=\${COMP_WORDS[COMP_CWORD]} command='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word != -* ]]; then command=$word; break; fi
  done
  case $command in
    '') words='${first.join(' ')}' ;;
${cases.join('\n')}
  esac
  COMPREPLY=()
  if [[ -z $command || $current == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -o default -o bashdefault -F _drift drift`
}

function zsh(program: Command): string {
  const describe = program.commands.map(
    command => `    ${quote(`${command.name()}:${summary(command.description())}`)}`,
  )
  const cases = program.commands.map(
    command => `      ${command.name()}) _arguments ${zshOptions(command).join(' ')} '*:file:_files' ;;`,
  )
  return `#compdef drift
# drift for zsh: source <(drift completions zsh), or this as _drift in a folder of fpath
_drift() {
  local state line
  local -a commands
  commands=(
${describe.join('\n')}
  )
  _arguments -C ${zshOptions(program).join(' ')} '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${cases.join('\n')}
      esac ;;
  esac
}
if [ "\${funcstack[1]}" = _drift ]; then _drift "$@"; else compdef _drift drift; fi`
}

function zshOptions(command: Command): string[] {
  return options(command).map(option => {
    const text = summary(option.description).replace(/[[\]\\:]/g, '\\$&')
    return quote(`${option.long}[${text}]${takesValue(option) ? ':value:_files' : ''}`)
  })
}

function fish(program: Command): string {
  const lines = program.commands.flatMap(command => [
    `complete -c drift -n __fish_use_subcommand -f -a ${command.name()} -d ${quote(summary(command.description()))}`,
    ...options(command).map(option =>
      fishOption(option, `-n '__fish_seen_subcommand_from ${command.name()}'`),
    ),
  ])
  return [
    '# drift for fish: drift completions fish | source',
    ...options(program).map(option => fishOption(option, '')),
    ...lines,
  ].join('\n')
}

function fishOption(option: Option, when: string): string {
  const value = takesValue(option) ? ' -r' : ''
  return `complete -c drift ${when} -l ${option.long!.slice(2)}${value} -d ${quote(summary(option.description))}`
}

function options(command: Command): Option[] {
  return [...command.createHelp().visibleOptions(command)].filter(({ long }) => long)
}

function longs(command: Command): string[] {
  return options(command).map(({ long }) => long!)
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional
}

/** Up to the first stop: a menu shows one line. */
function summary(text: string): string {
  return text.split(/[;:(]/)[0]!.trim()
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
