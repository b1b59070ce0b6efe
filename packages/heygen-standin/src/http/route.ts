import type { Request } from 'express';
import type { FaultSubject } from '../faults/fault-rules.ts';
import type { Fault, RouteName } from '../faults/fault-types.ts';
import type { Answer } from './answer.ts';

export interface Call {
  readonly request: Request;
  readonly faults: readonly Fault[];
}

/** A route that answers with a value; faults, keys and repeats are dealt with around it. */
export interface AnswerRoute {
  readonly name: RouteName;
  readonly method: 'delete' | 'get' | 'patch' | 'post' | 'put';
  readonly path: string;
  /** Where the body is read by the handler instead of as JSON. */
  readonly readsBody?: true;
  /** Answered without the API key, and refused with it. */
  readonly signed?: true;
  /** Whether it takes an `Idempotency-Key`. */
  readonly idempotent?: true;
  /** The job that a request is about, for faults that are scripted for one. */
  readonly subject?: (request: Request) => Omit<FaultSubject, 'route'>;
  /** Throws a HeygenError to refuse. */
  readonly handle: (call: Call) => Answer | Promise<Answer>;
}

/** A part of the path; empty when the route has none of that name. */
export function pathPart(request: Request, name: string): string {
  const value = request.params[name];
  return typeof value === 'string' ? value : '';
}
