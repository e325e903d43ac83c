// Finds the relative links of a Markdown text and the anchors of its headings, as GitHub names them.

/** Targets of links and pictures outside of code: `FILE`, `FILE#ANCHOR` or `#ANCHOR`; those with a scheme are left out. */
export function linksIn(markdown: string): string[] {
  const prose = markdown.replace(/^( *)(`{3,}|~{3,})[^\n]*\n.*?^ *\2 *$/gms, '').replace(/(`+)[^`].*?\1/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter(target => !/^\w+:/.test(target))
}

/** Names of the headings; a second heading of the same words has -1 behind its name. */
export function anchorsIn(markdown: string): Set<string> {
  const prose = markdown.replace(/^( *)(`{3,}|~{3,})[^\n]*\n.*?^ *\2 *$/gms, '')
  const anchors = new Set<string>()
  for (const [, heading] of prose.matchAll(/^#{1,6} +(.*)$/gm)) {
    const words = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const name = words.replace(/[^\p{L}\p{N}_\- ]/gu, '').replaceAll(' ', '-')
    let anchor = name
    for (let i = 1; anchors.has(anchor); i++) anchor = `${name}-${i}`
    anchors.add(anchor)
  }
  return anchors
}
