/** Lip-sync inside a program. Hosts with a queue or an API import `@lipsync/core/host`. */

// First, because it throws on an older Node.
export { oldestNodeMajor } from './errors/require-node.ts';
export type { CoreConfig } from './config/core-config.ts';
export type {
  LipsyncOptionsInput,
  Quality,
  QualityGrade,
  QualityLabel,
  QualityPart,
  QualityRange,
  SyncMethod,
  SyncQuality,
} from './contract/index.ts';
export type { Warning } from './contract/provider-types.ts';
export * from './errors/index.ts';
export type { ProgressUpdate } from './jobs/progress-writer.ts';
export type { Attempt } from './providers/attempt.ts';
export type { ExecutionPlan } from './scheduling/execution-plan.ts';
export type { CostEstimate, EstimateCostInput } from './service/cost-estimates.ts';
export { getLipsyncService } from './service/get-lipsync-service.ts';
export {
  BatchProblemsError,
  type BatchGenerateLipsyncInput,
  type BatchItemInput,
  type BatchProblem,
} from './service/batch-input.ts';
export type {
  BatchGenerateLipsyncContext,
  BatchGenerateLipsyncResult,
  BatchItemResult,
  CheckQualityOptions,
  GenerateLipsyncContext,
  GenerateLipsyncInput,
  GenerateLipsyncResult,
  LipsyncService,
} from './service/lipsync-service.ts';
