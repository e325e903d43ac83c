export { CliError, EXIT } from './errors.js'
export { type ImportOptions, type ImportResult, importFile } from './import.js'
export { type Output, run } from './program.js'
export { openSource, type Source, type SourceOptions, type SourceRow, type Unreadable } from './source.js'
