import type { QualityRange } from './quality.ts';
import type { JobStage } from './vocabulary.ts';

/** Values that providers exchange with the layers below them. All of them are plain JSON. */

/** Where a provider works: in this installation's own processes, or at a remote vendor. */
export type ProviderKind = 'inline' | 'remote';

export interface Warning {
  readonly code: string;
  readonly message: string;
  /** Affected ranges of the output; absent if the whole output is affected. */
  readonly ranges?: readonly QualityRange[];
}

export interface ProgressReport {
  readonly stage: JobStage;
  /** Finished share of the stage, 0–1. */
  readonly fraction: number;
}

/** Work running at a remote vendor. It is stored before the first status check, so that any process can resume it. */
export interface Operation {
  readonly id: string;
  readonly state: Readonly<Record<string, unknown>>;
}

/**
 * A prepared request for an operation. It is stored before it is sent, so that a retry sends the same request, and so
 * that an operation whose response was lost can be found.
 */
export interface OperationRequest {
  /** The vendor answers repeated requests under one key with the same operation. */
  readonly idempotencyKey: string;
  readonly state: Readonly<Record<string, unknown>>;
}

/** An operation request as its attempt stores it. */
export interface StoredRequest extends OperationRequest {
  /** When a request was first sent without a conclusive answer; null while no operation can be unaccounted for. */
  readonly unacknowledgedSinceMs: number | null;
}

/** A request as earlier formats stored it. */
type LegacyRequest = Omit<StoredRequest, 'unacknowledgedSinceMs'> & { readonly unansweredSinceMs: number | null };

/** Reads a stored request of any format. Pure. */
export function migrateRequest(stored: StoredRequest | LegacyRequest): StoredRequest {
  if ('unacknowledgedSinceMs' in stored) return stored;
  const { unansweredSinceMs, ...request } = stored;
  return { ...request, unacknowledgedSinceMs: unansweredSinceMs };
}

/**
 * Whether an operation with a pending settlement is canceled: `none` waits for its end, `due` cancels it, `sent` marks
 * an operation that was canceled while it was seen running and therefore is not billed if it disappears.
 */
export type OperationStop = 'none' | 'due' | 'sent';
