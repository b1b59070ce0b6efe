/** What workers, APIs and queues build from. Programs import the package itself. */

// First, because it throws on an older Node.
export { protectFiles } from './processes/file-access.ts';
export { oldestNodeMajor } from './errors/require-node.ts';
export * from './errors/index.ts';
export { checkReceiver, GuardedClient, parseAllowedHosts, type AllowedPrivateHosts } from './net/index.ts';
export { ArtifactInputFetcher, type InputFetcher } from './jobs/input-fetcher.ts';
export { applyJobEvent, type JobEvent } from './jobs/job-events.ts';
export {
  isOfKind,
  requireKind,
  isTerminal,
  isUnderWay,
  needsWorkerToEnd,
  nextWork,
  type InputReference,
  newJobRecord,
  undecidedStart,
  newQualityRecord,
  inputFields,
  jobKinds,
  type BatchItem,
  type BatchOptions,
  type RunnableKind,
  type InputField,
  type JobInputs,
  type JobKind,
  type JobRecord,
  type JobStart,
  type JobWork,
  type LipsyncResult,
  type NewJob,
  type NewQualityJob,
  type QualityResult,
  type RequestKind,
} from './jobs/job-record.ts';
export {
  batchManifestName,
  defaultOutputName,
  findEqualNames,
  findNameProblem,
  maxBatchItems,
} from './jobs/batch-names.ts';
export { ManifestError, parseManifest, type ManifestRow } from './jobs/batch-manifest.ts';
export { batchIdOf, batchItemId, newBatchItemRecord, newBatchRecord } from './jobs/batch-record.ts';
export {
  checkPageSize,
  InvalidCursorError,
  listPages,
  outboxEventFor,
  type JobPage,
  type JobPageQuery,
  type JobStore,
  type OutboxEntry,
  type OutboxEvent,
  type UnreadableRecordListener,
} from './jobs/job-store.ts';
export { OutboxDispatcher, type OutboxConsumer, type OutboxDispatcherOptions } from './jobs/outbox-dispatcher.ts';
export { matchesFilter, type JobFilter } from './jobs/job-filter.ts';
export { createProcessMetrics, type ProcessMetrics } from './service/process-metrics.ts';
export { createWorkEstimate } from './service/work-estimate.ts';
export { readEngineVersion } from './service/engine-version.ts';
export {
  isReusable,
  resultKeyOf,
  reusedResultOf,
  type ResultCache,
  type ResultClaim,
  type ReusedResult,
} from './jobs/result-cache.ts';
export { acceptedAtMs, countRetries, findRetryObstacle } from './jobs/job-retry.ts';
export { decodeJobRecord, encodeJobRecord } from './jobs/record-codec.ts';
export {
  batchStatusOf,
  isBatchSettled,
  outcomeOf,
  toBatchManifest,
  toBatchSummaryView,
  summarizeBatch,
  toBatchView,
  type BatchContent,
} from './jobs/batch-view.ts';
export { nameOfInput, toJobView, toQualityJobView } from './jobs/job-view.ts';
export { recordLateCost } from './jobs/attempt-recorder.ts';
export { traceIdOf } from './jobs/job-log.ts';
export { activeTraceparent, annotateSpan, isTracing, openSpan, OpenSpan } from './tracing/spans.ts';
export { startConfiguredTracing } from './config/tracing-config.ts';
export type { ProgressUpdate } from './jobs/progress-writer.ts';
export type { JobHandlers, RunContext } from './jobs/job-handler.ts';
export { JobRunner, type JobRunnerOptions } from './jobs/job-runner.ts';
export { LipsyncHandler, type LipsyncHandlerOptions } from './jobs/lipsync-handler.ts';
export type { BatchSummary, ItemOutcome } from './jobs/batch-summary.ts';
export { WebhookSender } from './jobs/webhook-delivery.ts';
export { createProgressEvents, createWebhookEvents, webhookIdOf } from './jobs/webhook-events.ts';
export { newWebhookRecord } from './jobs/webhook-record.ts';
export { ReceiverSwitches, type SilencedReceiver } from './jobs/receiver-switches.ts';
export { toDeliveryView, toReceiverView } from './jobs/webhook-view.ts';
export { WebhookHandler } from './jobs/webhook-handler.ts';
export { QualityHandler } from './jobs/quality-handler.ts';
export { SegmentBoard } from './jobs/segments/segment-board.ts';
export type { SegmentHelper } from './jobs/segments/segment-helper.ts';
export { readCpuShare } from './processes/cpu-share.ts';
export { KeyedMutex } from './processes/keyed-mutex.ts';
export { OutageLog, type Failure } from './processes/outage-log.ts';
export { listen, type ListeningServer } from './processes/http-server.ts';
export { memoizeAsync } from './processes/memoize-async.ts';
export { createProbeListener, type ProbeListenerOptions } from './processes/probe-listener.ts';
export { Readiness } from './processes/readiness.ts';
export { runService } from './processes/run-service.ts';
export { sweepProcessWorkspaces } from './processes/workspace.ts';
export { createServiceLogger } from './processes/service-logger.ts';
export type { CostGroup, CostRow } from './billing/cost-report.ts';
export { attemptEntry, payerOf } from './billing/ledger-entry.ts';
export { VendorCopies } from './providers/vendor-copies.ts';
export { LedgerPseudonyms, type LedgerUser } from './billing/ledger-pseudonyms.ts';
export { Ledger } from './billing/ledger.ts';
export type { Clock, IdSource, Logger, TraceContext } from './contract/ports.ts';
export { createIdSource, silentLogger, systemClock } from './contract/system-ports.ts';
export type { CallbackAttempt } from './providers/definition.ts';
export type { Estimate, Estimator, ProviderEstimate } from './jobs/cost-estimator.ts';
export { outputDurationMs } from './media/timeline.ts';
export type { Load } from './scheduling/completion-forecast.ts';
export {
  createConcurrencySlots,
  defaultSlotPriority,
  slotHoldersPrefix,
  sweepSlots,
  type ConcurrencySlots,
  type SlotHolder,
  type SlotRequest,
  type SweptSlots,
} from './scheduling/concurrency-slots.ts';
export { CircuitBreaker, type BreakerChange, type BreakerView } from './scheduling/circuit-breaker.ts';
export { isUrl, parseLipsyncOptions, type OptionsSchema } from './service/parse-input.ts';
export { failStore } from './storage/store-failure.ts';
export { toDisplayName, toOutputName } from './storage/display-name.ts';
export {
  BaseStateStore,
  contended,
  checkSourceUrl,
  createArtifactStore,
  type SourceRules,
  type ArtifactStoreConfig,
  LocalArtifactStore,
  requireWritable,
  candidateKeyOf,
  requireWritableStore,
  storageChecks,
  type ArtifactStore,
  type ArtifactStoreHealth,
  type Change,
  type CheckedChange,
  type ContentionLimits,
  type Documents,
  type FolderHealth,
  type Json,
  type LocalArtifactStoreOptions,
  type StatePage,
  type StateStore,
  type StoredArtifact,
  type StoredDocument,
} from './storage/index.ts';
export {
  checkMethod,
  checkMinSyncScore,
  createCompletionOutlook,
  requireWebhooks,
  createCostEstimator,
  listProviders,
  documentedOptionsOf,
  optionsSchemaOf,
  planJob,
  settingWarnings,
  type ProviderStatus,
} from './service/installation.ts';
export { checkConsent } from './jobs/consent-check.ts';
export { createLipsyncCore, type LipsyncCore } from './service/wiring.ts';
export { migrateAttempt, type Attempt } from './providers/attempt.ts';
export type { Warning } from './contract/provider-types.ts';
export { microsToUsd, toMicros, type Micros } from './billing/micros.ts';
export { listProviderIds, type PlanStep } from './scheduling/execution-plan.ts';
export { checkMarking } from './service/signing-identity.ts';
export { FingerprintStore } from './fingerprint/fingerprint-store.ts';
export type { CallerScope } from './fingerprint/fingerprint-search.ts';
export { createOriginVerifier, OriginVerifier } from './service/origin-verifier.ts';
