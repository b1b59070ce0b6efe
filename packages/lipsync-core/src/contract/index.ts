export { renameKeys, toCamelCase, toKebabCase, toSnakeCase } from './case.ts';
export {
  attemptViewSchema,
  errorViewSchema,
  jobViewSchema,
  qualityViewSchema,
  warningViewSchema,
  type AttemptView,
  type JobView,
  type QualityView,
} from './job-view.ts';
export { lipsyncOptionsSchema, type LipsyncOptions, type LipsyncOptionsInput } from './lipsync-request.ts';
export {
  heygenModes,
  jobStatuses,
  methods,
  optimizations,
  providerIds,
  silenceModes,
  syncModes,
  type HeygenMode,
  type JobStatus,
  type Method,
  type Optimization,
  type ProviderId,
  type SilenceMode,
  type SyncMode,
} from './vocabulary.ts';
