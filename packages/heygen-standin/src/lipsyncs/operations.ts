import { randomUUID } from 'node:crypto';
import { HeygenError } from '../http/heygen-error.ts';
import type { CreateBody } from './create-body.ts';
import { isActive, type Operation, type Outcome } from './operation.ts';

export interface NewOperation {
  readonly request: CreateBody;
  readonly outcome: Outcome;
  readonly heldMicros: number;
  readonly stuckAt: Operation['stuckAt'];
}

export interface Operations {
  /** Takes one of `max` places for a job to come. Throws 429 when there is none; the caller gives it back. */
  acquireSlot(max: number, retryAfterS: number): Disposable;
  /** KeyedMutex the place that was taken into an operation. */
  add(operation: NewOperation): Operation;
  /** Throws 404 for an id that is unknown or deleted. */
  require(id: string): Operation;
  /** Newest first, without the deleted. */
  list(): readonly Operation[];
  /** Oldest first, with the deleted. */
  all(): readonly Operation[];
  /** Ends what the operation does; one that `lingers` can still be read. Throws 404 for an id that is unknown or deleted. */
  delete(id: string, options: { readonly lingers: boolean }): Operation;
  /** What the running ones will cost. */
  heldMicros(): number;
  mostAtOnce(): number;
  /** Ends and forgets everything. */
  clear(): void;
}

export function createOperations(now: () => number): Operations {
  const byId = new Map<string, Operation>();
  let placesTaken = 0;
  let mostAtOnce = 0;
  let created = 0;
  const active = (): readonly Operation[] => [...byId.values()].filter(isActive);
  const find = (id: string): Operation => {
    const operation = byId.get(id);
    if (operation === undefined || (operation.deletedAtMs !== null && !operation.lingers))
      throw new HeygenError(404, 'resource_not_found', `Lipsync ${id} not found`);
    return operation;
  };
  return {
    acquireSlot(max, retryAfterS) {
      if (active().length + placesTaken >= max) {
        throw new HeygenError(429, 'rate_limit_exceeded', `You have reached the limit of ${max} concurrent jobs`, {
          retryAfterS,
        });
      }
      placesTaken += 1;
      return { [Symbol.dispose]: () => void (placesTaken -= 1) };
    },
    add(values) {
      const operation = newOperation(values, created, now());
      created += 1;
      byId.set(operation.id, operation);
      mostAtOnce = Math.max(mostAtOnce, active().length);
      return operation;
    },
    require: find,
    list: () => [...byId.values()].filter(({ deletedAtMs }) => deletedAtMs === null).toReversed(),
    all: () => [...byId.values()],
    delete(id, { lingers }) {
      const operation = find(id);
      operation.lingers = lingers;
      operation.deletedAtMs = now();
      operation.abort.abort();
      return operation;
    },
    heldMicros: () => active().reduce((sum, { heldMicros }) => sum + heldMicros, 0),
    mostAtOnce: () => mostAtOnce,
    clear() {
      for (const { abort } of byId.values()) abort.abort();
      byId.clear();
      mostAtOnce = 0;
      created = 0;
    },
  };
}

function newOperation(
  { request, outcome, heldMicros, stuckAt }: NewOperation,
  ordinal: number,
  nowMs: number,
): Operation {
  return {
    id: randomUUID().replaceAll('-', ''),
    ordinal,
    request,
    createdAtMs: nowMs,
    outcome,
    heldMicros,
    title: request.title ?? null,
    status: 'pending',
    phaseStartedAtMs: nowMs,
    stuckAt,
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
