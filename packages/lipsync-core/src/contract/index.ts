export { originViewSchema, type FingerprintView, type OriginView } from './origin-view.ts';
export { isPlainObject } from './json.ts';
export { renameKeys, toCamelCase, toKebabCase, toSnakeCase, type SnakeCaseKeys } from './case.ts';
export {
  attemptViewSchema,
  batchSummaryViewSchema,
  batchViewSchema,
  errorViewSchema,
  jobViewSchema,
  qualityJobViewSchema,
  warningViewSchema,
  type AttemptView,
  type BatchStatus,
  type BatchSummaryView,
  type BatchView,
  type JobView,
  type QualityJobView,
} from './job-view.ts';
export { webhookMessageSchemas, type WebhookMessageData, type WebhookMessageType } from './webhook-message.ts';
export { readFormValues } from './form-values.ts';
export { JsonLimitError, parseJson } from './json.ts';
export {
  createDocumentedOptions,
  createOptionsSchema,
  lipsyncFields,
  lipsyncOptionsSchema,
  listOptionFields,
  providerIdSchema,
  toSnakeCaseFields,
  type LipsyncOptions,
  type LipsyncOptionsInput,
  type ProviderOptionValues,
  type RequestProvider,
  jobFields,
} from './lipsync-request.ts';
export { hiddenCharacters } from './visible-text.ts';
export type { Consent } from './consent.ts';
export { qualityOptionsSchema, type QualityOptions, type QualityOptionsInput } from './quality-request.ts';
export { parseOptions, toFieldProblem, type FieldProblem, type ParsedOptions } from './request-fields.ts';
export { parseRequest, type RequestProblem } from './request-problems.ts';
export {
  qualityViewSchema,
  toQualityView,
  type Quality,
  type QualityGrade,
  type QualityLabel,
  type QualityPart,
  type QualityRange,
  type QualityView,
  type SyncMethod,
  type SyncQuality,
} from './quality.ts';
export {
  batchPageViewSchema,
  costsViewSchema,
  deliveryPageViewSchema,
  deliveryViewSchema,
  receiverPageViewSchema,
  estimateViewSchema,
  healthViewSchema,
  jobPageViewSchema,
  problemViewSchema,
  providersViewSchema,
  qualityJobPageViewSchema,
  readinessViewSchema,
  scalingViewSchema,
  type BatchPageView,
  type CostsView,
  type DeliveryPageView,
  type DeliveryView,
  type ReceiverPageView,
  type ReceiverView,
  type EstimateView,
  type JobPageView,
  type ProblemView,
  type ProvidersView,
  type QualityJobPageView,
} from './service-views.ts';
export {
  batchStatuses,
  jobStages,
  jobStatuses,
  labelCorners,
  labelLanguages,
  optimizations,
  qualityWindows,
  silenceModes,
  syncModes,
  type JobStatus,
  type Method,
  type Optimization,
  type ProviderId,
  type QualityWindows,
  type SilenceMode,
  type SyncMode,
} from './vocabulary.ts';
