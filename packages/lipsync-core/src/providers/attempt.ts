import type { ProviderId } from '../contract/index.ts';
import { migrateRequest, type Operation, type StoredRequest } from '../contract/provider-types.ts';
import type { ErrorCode } from '../errors/index.ts';

/** One try of one provider within a job. Stored as JSON with the job record. */
export interface Attempt {
  readonly provider: ProviderId;
  readonly outcome: 'running' | 'succeeded' | 'failed' | 'canceled';
  readonly code: ErrorCode | null;
  readonly message: string | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  /** Null while the cost is unknown. */
  readonly costMicros: number | null;
  /** Absent until the request is prepared, and for inline providers. */
  readonly request?: StoredRequest;
  readonly operation: Operation | null;
  /** Since when the time limit of the operation counts: when it was first known to run, or the last wait for storage. */
  readonly operationAtMs: number | null;
  /** Set before the operation is canceled while it runs. If it is gone afterwards, it is not billed. */
  readonly isStopSent?: true;
  /** Transient failures since the last progress of this attempt; none of them ended it. */
  readonly transientFailures: number;
}

/** An attempt as earlier formats stored it. */
type LegacyAttempt = Omit<Attempt, 'request' | 'transientFailures'> & {
  readonly order?: Parameters<typeof migrateRequest>[0];
  readonly troubles?: number;
};

/** Reads a stored attempt of any format. Pure. */
export function migrateAttempt(stored: Attempt | LegacyAttempt): Attempt {
  if ('transientFailures' in stored) return stored;
  const { order, troubles = 0, ...attempt } = stored;
  return { ...attempt, ...(order && { request: migrateRequest(order) }), transientFailures: troubles };
}
