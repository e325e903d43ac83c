export { CliError, EXIT } from './errors.js'
export { type ExportOptions, type ExportResult, exportFile } from './export.js'
export {
  type ImportOptions,
  type ImportProgress,
  type ImportResult,
  importFile,
  type Reject,
} from './import.js'
export type { Output } from './output.js'
export { run } from './program.js'
export {
  openSource,
  type Source,
  type SourceOptions,
  type SourceRow,
  type Unreadable,
} from './source/source.js'
