export * from './errors/index.ts';
export { checkUrl, parseAllowedHosts, type AllowedPrivateHosts } from './fetch/index.ts';
export { createInputFetcher, type InputFetcher } from './jobs/input-fetcher.ts';
export { applyJobEvent, type JobEvent } from './jobs/job-events.ts';
export {
  isTerminal,
  isUnderWay,
  type Attempt,
  type InputReference,
  type JobRecord,
  type JobResult,
} from './jobs/job-record.ts';
export type { JobPage, JobPageQuery, JobStore } from './jobs/job-store.ts';
export { toJobView, toUsd } from './jobs/job-view.ts';
export { recordLateCost } from './jobs/late-cost.ts';
export { newJobRecord, undecidedStart, type JobStart, type NewJob } from './jobs/new-job-record.ts';
export type { ProgressUpdate } from './jobs/progress-writer.ts';
export { createJobRunner, type JobRunner, type JobRunnerDependencies, type RunContext } from './jobs/run-job.ts';
export type { CostRow } from './ledger/cost-sums.ts';
export { createLedger, type Ledger } from './ledger/ledger.ts';
export type { Clock, IdSource, Logger } from './ports/ports.ts';
export { createIdSource, systemClock } from './ports/system-ports.ts';
export {
  attemptOfCallback,
  heygenCallbackPath,
  heygenCallbackTokenParameter,
  heygenCallbackUrl,
  type CallbackAttempt,
} from './providers/heygen/heygen-callback.ts';
export type { Estimate, Estimator, ProviderEstimate } from './providers/plan/estimate.ts';
export { outputDurationMs } from './media/output-duration.ts';
export type { ProviderFindings, ProviderInspector } from './providers/provider-findings.ts';
export type { Load } from './providers/plan/forecast.ts';
export type { Warning } from './providers/provider.ts';
export { createBreaker, type Breaker, type BreakerChange, type BreakerView } from './resilience/breaker.ts';
export { getLipsyncService } from './service/get-lipsync-service.ts';
export { parseLipsyncOptions } from './service/parse-options.ts';
export type { CostEstimate, EstimateCostInput } from './service/cost-estimates.ts';
export type {
  GenerateLipsyncContext,
  GenerateLipsyncInput,
  GenerateLipsyncResult,
  LipsyncService,
} from './service/lipsync-service.ts';
export { contended, type ContentionLimits } from './state/contention.ts';
export { createStateStore, type CheckedChange, type StateDriver } from './state/create-state-store.ts';
export type { Change, Documents, Json, StatePage, StateStore, StoredDocument } from './state/state-store.ts';
export {
  artifactFolders,
  createLocalArtifactStore,
  sweepAbandonedParts,
  type ArtifactStore,
  type LocalArtifactStoreOptions,
  type StoredArtifact,
} from './storage/index.ts';
export {
  checkMethod,
  createCostEstimator,
  createLipsyncCore,
  createProviderInspection,
  listProviders,
  planJob,
  settingWarnings,
  type LipsyncCore,
  type ProviderStatus,
} from './wiring.ts';
