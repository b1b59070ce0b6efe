import type { ProviderId } from '../contract/index.ts';
import { migrateRequest, type Operation, type StoredRequest, type Warning } from '../contract/provider-types.ts';
import type { Quality } from '../contract/quality.ts';
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
  /** Precision of the model that drew its take; absent without a take, for remote providers and if unknown. */
  readonly modelPrecision?: string;
  /** Measured quality of its take; absent while it is not assessed. */
  readonly quality?: Quality;
  /** Its take is kept until the job ends. Absent without a take, and once it is deleted. */
  readonly take?: KeptTake;
}

/** What is known about a take besides its file and its quality. */
export interface KeptTake {
  /** Whether it only stands in for a real result. */
  readonly degraded: boolean;
  readonly durationMs: number;
  /** Of the inputs and of the provider. */
  readonly warnings: readonly Warning[];
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

/** An attempt whose take was rejected for its quality and is kept. */
export type Candidate = Attempt & { readonly take: KeptTake };

/** Whether the take of an attempt was rejected and may still be delivered. Pure. */
export function isCandidate(attempt: Attempt): attempt is Candidate {
  return attempt.code === 'quality_rejected' && attempt.take !== undefined;
}

/** Returns attempts without the takes for which `isDeleted` is true. Pure. */
export function withoutTakes(
  attempts: readonly Attempt[],
  isDeleted: (attempt: Attempt) => boolean = () => true,
): readonly Attempt[] {
  return attempts.map((attempt) => {
    if (attempt.take === undefined || !isDeleted(attempt)) return attempt;
    const { take: _, ...rest } = attempt;
    return rest;
  });
}
