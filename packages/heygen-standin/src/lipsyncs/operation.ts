import { randomUUID } from 'node:crypto';
import { HeygenError } from '../http/answer.ts';
import type { StandinSettings } from '../settings.ts';
import type { CreateBody } from './create-body.ts';

export type OperationStatus = 'pending' | 'running' | 'completed' | 'failed';

/** How a job will end; determined when it is accepted. */
export type Outcome =
  | { readonly type: 'failure'; readonly message: string }
  | { readonly type: 'video'; readonly durationMs: number };

/** A lip-sync job and its current state. */
export interface Operation {
  readonly id: string;
  /** Position among all jobs since the start, from 0. */
  readonly ordinal: number;
  readonly request: CreateBody;
  readonly createdAtMs: number;
  readonly outcome: Outcome;
  /** Price if the job completes. */
  readonly reservedMicros: number;
  title: string | null;
  status: OperationStatus;
  phaseStartedAtMs: number;
  /** The phase that ends only with a release. */
  stuckAt: 'pending' | 'running' | null;
  /** The remaining phases take no time. */
  isHurried: boolean;
  reads: number;
  failureMessage: string | null;
  output: { readonly path: string; readonly durationMs: number } | null;
  deletedAtMs: number | null;
  /** Remains readable after its deletion. */
  lingers: boolean;
  readonly abort: AbortController;
  /** Makes the operation check again whether its phase has ended. */
  nudge: () => void;
  readonly started: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
}

export type NewOperation = Pick<Operation, 'request' | 'outcome' | 'reservedMicros' | 'stuckAt'>;

/** All operations since the start or the last reset. */
export class Operations {
  readonly #now: () => number;
  readonly #byId = new Map<string, Operation>();
  #slotsTaken = 0;
  #maxActive = 0;
  #created = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Most operations that were active at the same time. */
  get maxActive(): number {
    return this.#maxActive;
  }

  /**
   * Takes one of `max` slots for a job that is being accepted. Throws 429 without a free slot. The caller disposes it.
   */
  acquireSlot(max: number, retryAfterS: number): Disposable {
    if (this.#active().length + this.#slotsTaken >= max) {
      throw new HeygenError(429, 'rate_limit_exceeded', `You have reached the limit of ${max} concurrent jobs`, {
        retryAfterS,
      });
    }
    this.#slotsTaken += 1;
    return { [Symbol.dispose]: () => void (this.#slotsTaken -= 1) };
  }

  add(values: NewOperation): Operation {
    const operation = createOperation(values, this.#created, this.#now());
    this.#created += 1;
    this.#byId.set(operation.id, operation);
    this.#maxActive = Math.max(this.#maxActive, this.#active().length);
    return operation;
  }

  /** Throws 404 for an id that is unknown or deleted. */
  require(id: string): Operation {
    const operation = this.#byId.get(id);
    if (operation === undefined || (operation.deletedAtMs !== null && !operation.lingers))
      throw new HeygenError(404, 'resource_not_found', `Lipsync ${id} not found`);
    return operation;
  }

  /** Newest first, without deleted ones. */
  list(): readonly Operation[] {
    return this.all()
      .filter(({ deletedAtMs }) => deletedAtMs === null)
      .toReversed();
  }

  /** Oldest first, including deleted ones. */
  all(): readonly Operation[] {
    return [...this.#byId.values()];
  }

  /** Stops and deletes an operation. Throws 404 for an id that is unknown or deleted. */
  delete(id: string, { lingers }: Pick<Operation, 'lingers'>): Operation {
    const operation = this.require(id);
    operation.lingers = lingers;
    operation.deletedAtMs = this.#now();
    operation.abort.abort();
    return operation;
  }

  /** Total price of the active operations. */
  reservedMicros(): number {
    return this.#active().reduce((sum, { reservedMicros }) => sum + reservedMicros, 0);
  }

  /** Stops and forgets all operations. */
  clear(): void {
    for (const { abort } of this.#byId.values()) abort.abort();
    this.#byId.clear();
    this.#maxActive = 0;
    this.#created = 0;
  }

  #active(): readonly Operation[] {
    return this.all().filter(isActive);
  }
}

function createOperation(values: NewOperation, ordinal: number, nowMs: number): Operation {
  return {
    ...values,
    id: randomUUID().replaceAll('-', ''),
    ordinal,
    createdAtMs: nowMs,
    title: values.request.title ?? null,
    status: 'pending',
    phaseStartedAtMs: nowMs,
    isHurried: false,
    reads: 0,
    failureMessage: null,
    output: null,
    deletedAtMs: null,
    lingers: false,
    abort: new AbortController(),
    nudge: () => undefined,
    started: Promise.withResolvers(),
    ended: Promise.withResolvers(),
  };
}

/** Whether an operation counts toward the concurrency limit. */
export function isActive({ status, deletedAtMs }: Operation): boolean {
  return deletedAtMs === null && (status === 'pending' || status === 'running');
}

/** Remaining time of the current phase; Infinity if only a read or a release ends it. */
export function remainingMs(operation: Operation, { pace, timescale }: StandinSettings, nowMs: number): number {
  const { status, stuckAt, reads, phaseStartedAtMs, isHurried } = operation;
  if (isHurried) return 0;
  if (stuckAt === status) return Infinity;
  if (pace.by === 'reads') {
    const readsInPhase = status === 'pending' ? pace.pendingReads : pace.pendingReads + pace.runningReads;
    return reads > readsInPhase ? 0 : Infinity;
  }
  const lengthMs = status === 'pending' ? pace.pendingMs : pace.runningMs;
  return Math.max(0, phaseStartedAtMs + lengthMs / timescale - nowMs);
}

/** Counts a read. With a pace by reads, resolves when the operation has reached the state that this read returns. */
export async function countRead(operation: Operation, { pace }: StandinSettings): Promise<void> {
  operation.reads += 1;
  if (pace.by !== 'reads') return;
  operation.nudge();
  const { reads, stuckAt } = operation;
  if (reads > pace.pendingReads && stuckAt !== 'pending') await operation.started.promise;
  if (reads > pace.pendingReads + pace.runningReads && stuckAt === null) await operation.ended.promise;
}

/** Ends the operation without further delay; resolves when it has ended. */
export async function hurry(operation: Operation): Promise<void> {
  operation.isHurried = true;
  operation.nudge();
  await operation.ended.promise;
}
