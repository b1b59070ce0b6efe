import type { StandinSettings } from '../settings.ts';
import type { CreateBody } from './create-body.ts';

export type OperationStatus = 'pending' | 'running' | 'completed' | 'failed';

/** What will come of a job, known when it is accepted. */
export type Outcome = { readonly failure: string } | { readonly durationMs: number };

/** One lip-sync job and how far it is. */
export interface Operation {
  readonly id: string;
  /** Its number since the start, from 0. */
  readonly ordinal: number;
  readonly request: CreateBody;
  readonly createdAtMs: number;
  readonly outcome: Outcome;
  /** What it will cost, if it is completed. */
  readonly heldMicros: number;
  title: string | null;
  status: OperationStatus;
  phaseStartedAtMs: number;
  /** The phase that it does not leave before it is released. */
  stuckAt: 'pending' | 'running' | null;
  /** Its phases take no time any more. */
  isHurried: boolean;
  reads: number;
  failureMessage: string | null;
  output: { readonly path: string; readonly durationMs: number } | null;
  deletedAtMs: number | null;
  /** Whether it can be read although it is deleted. */
  lingers: boolean;
  readonly abort: AbortController;
  /** Makes the operation look again whether it may go on. */
  nudge: () => void;
  readonly started: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
}

/** Whether an operation counts against the limit of those at once. */
export function isActive({ status, deletedAtMs }: Operation): boolean {
  return deletedAtMs === null && (status === 'pending' || status === 'running');
}

/** How long an operation stays in its phase; Infinity where only a read or a release can end it. */
export function remainingMs(operation: Operation, { pace, timescale }: StandinSettings, nowMs: number): number {
  const { status, stuckAt, reads, phaseStartedAtMs, isHurried } = operation;
  if (isHurried) return 0;
  if (stuckAt === status) return Infinity;
  if (pace.by === 'reads') return reads > readsThrough(status, pace) ? 0 : Infinity;
  const lengthMs = status === 'pending' ? pace.pendingMs : pace.runningMs;
  return Math.max(0, phaseStartedAtMs + lengthMs / timescale - nowMs);
}

function readsThrough(
  status: OperationStatus,
  pace: { readonly pendingReads: number; readonly runningReads: number },
): number {
  return status === 'pending' ? pace.pendingReads : pace.pendingReads + pace.runningReads;
}

/** Counts a read. Where reads set the pace, resolves when the operation is as far as this read brings it. */
export async function countRead(operation: Operation, { pace }: StandinSettings): Promise<void> {
  operation.reads += 1;
  if (pace.by !== 'reads') return;
  operation.nudge();
  const { reads, stuckAt } = operation;
  if (reads > pace.pendingReads && stuckAt !== 'pending') await operation.started.promise;
  if (reads > pace.pendingReads + pace.runningReads && stuckAt === null) await operation.ended.promise;
}

/** Resolves when the operation has ended, which it now does without delay. */
export async function hurry(operation: Operation): Promise<void> {
  operation.isHurried = true;
  operation.nudge();
  await operation.ended.promise;
}
