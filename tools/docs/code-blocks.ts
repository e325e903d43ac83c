// Takes the code blocks out of a Markdown text. Fenced blocks only; a block may be indented (inside a list).

export interface CodeBlock {
  readonly language: 'js' | 'ts'
  readonly code: string
  /** Line of the opening fence, from 1. */
  readonly line: number
  /** False when the fence says `no-run`. */
  readonly runs: boolean
}

const LANGUAGES: Readonly<Record<string, CodeBlock['language']>> = {
  js: 'js',
  javascript: 'js',
  mjs: 'js',
  ts: 'ts',
  typescript: 'ts',
}

/** The JavaScript and TypeScript blocks of a text, in order; blocks of other languages are passed over. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  const lines = markdown.split(/\r?\n/)
  for (let i = 0; i < lines.length; i++) {
    const fence = /^( *)(`{3,}|~{3,})\s*(\w*)(.*)$/.exec(lines[i]!)
    if (!fence) continue
    const [, indent, mark, name, rest] = fence as unknown as [string, string, string, string, string]
    const end = lines.findIndex((line, j) => j > i && line.trim().startsWith(mark) && line.trim() === mark)
    if (end < 0) throw new Error(`the code block that opens in line ${i + 1} never ends`)
    const language = LANGUAGES[name]
    if (language) {
      const code = lines
        .slice(i + 1, end)
        .map(line => line.slice(Math.min(indent.length, line.search(/\S|$/))))
      blocks.push({ language, code: `${code.join('\n')}\n`, line: i + 1, runs: !/\bno-run\b/.test(rest) })
    }
    i = end
  }
  return blocks
}
