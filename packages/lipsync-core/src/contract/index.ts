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
export { parseJson } from './json.ts';
export {
  createOptionsSchema,
  hiddenCharacters,
  lipsyncOptionsSchema,
  listOptionFields,
  providerIdSchema,
  type LipsyncOptions,
  type LipsyncOptionsInput,
  type ProviderOptionValues,
  type RequestProvider,
} from './lipsync-request.ts';
export { parseRequest, type RequestProblem } from './request-problems.ts';
export {
  jobStatuses,
  optimizations,
  silenceModes,
  syncModes,
  type JobStatus,
  type Method,
  type Optimization,
  type ProviderId,
  type SilenceMode,
  type SyncMode,
} from './vocabulary.ts';
