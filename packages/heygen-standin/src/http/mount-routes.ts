import { createHash, timingSafeEqual } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import express, { type IRouter, type Request, type Response } from 'express';
import { findReplacement, type FaultRules, type FaultSubject } from '../faults/fault-rules.ts';
import type { Fault, RouteName } from '../faults/fault-types.ts';
import { errorAnswer, HeygenError, toHeygenError, xmlAnswer, type Answer } from './answer.ts';
import type { IdempotencyStore } from './idempotency.ts';

export interface Call {
  readonly request: Request;
  readonly faults: readonly Fault[];
}

/** A route whose handler returns the response; `mountRoutes` adds authentication, faults and idempotency. */
export interface Route {
  readonly name: RouteName;
  readonly method: 'delete' | 'get' | 'patch' | 'post' | 'put';
  readonly path: string;
  /** The handler reads the body itself instead of receiving it as JSON. */
  readonly readsBody?: true;
  /** Authorized by a signed link; refuses requests that carry a secret. */
  readonly signed?: true;
  /** Supports `Idempotency-Key`. */
  readonly idempotent?: true;
  /** Finds the job that a request is about, for faults that match one job. */
  readonly subject?: (request: Request) => Omit<FaultSubject, 'route'>;
  /** Throws a HeygenError for an error response. */
  readonly handle: (call: Call) => Answer | Promise<Answer>;
}

export interface RouteDependencies {
  readonly apiKey: string;
  readonly faults: FaultRules;
  readonly idempotency: IdempotencyStore;
}

const parseJson = express.json({ limit: '1mb' });

export function mountRoutes(router: IRouter, routes: readonly Route[], dependencies: RouteDependencies): void {
  for (const route of routes) {
    router[route.method](route.path, (request, response) => serve(route, request, response, dependencies));
  }
}

/** A parameter of the path; empty when the route does not define it. */
export function pathParameter(request: Request, name: string): string {
  const value = request.params[name];
  return typeof value === 'string' ? value : '';
}

async function serve(
  route: Route,
  request: Request,
  response: Response,
  dependencies: RouteDependencies,
): Promise<void> {
  const { logged } = response.locals;
  logged.route = route.name;
  const refusal = authorize(route, request, response, dependencies.apiKey);
  if (refusal !== undefined) return send(refusal, request, response);
  try {
    if (route.readsBody !== true) await readJson(request, response);
  } catch (error) {
    return send(errorAnswer(toHeygenError(error)), request, response);
  }
  const faults = dependencies.faults.take({ route: route.name, ...route.subject?.(request) });
  logged.faults = faults.map(({ kind }) => kind);
  const replacement = findReplacement(faults);
  if (replacement?.accepted === false) {
    await applyDelays(faults);
    return send(replacement.answer, request, response);
  }
  const answer = await handle(route, request, faults, dependencies);
  return send(replacement === undefined ? answer : replacement.answer, request, response);
}

async function handle(
  route: Route,
  request: Request,
  faults: readonly Fault[],
  { idempotency }: RouteDependencies,
): Promise<Answer> {
  // The delay is part of the work, so that a repeated request in the meantime gets 409 `request_in_progress`.
  const work = async (): Promise<Answer> => {
    await applyDelays(faults);
    return route.handle({ request, faults });
  };
  try {
    const key = route.idempotent === true ? request.get('Idempotency-Key') : undefined;
    return await idempotency.run(`${request.method} ${request.path}`, key, work);
  } catch (error) {
    return errorAnswer(toHeygenError(error));
  }
}

function authorize(route: Route, request: Request, response: Response, apiKey: string): Answer | undefined {
  if (route.signed === true) return refuseSecrets(request, response);
  return hasKey(request, apiKey) ? undefined : errorAnswer(new HeygenError(401, 'unauthorized', 'Unauthorized'));
}

/** Refuses a request to a signed link that carries a secret, and logs it as a leak. */
export function refuseSecrets(request: Request, response: Response): Answer | undefined {
  const { logged } = response.locals;
  if (!logged.hasApiKey && !logged.hasAuthorization) return undefined;
  logged.leak = true;
  return xmlAnswer(request.method === 'PUT' ? 403 : 400, 'InvalidArgument');
}

function hasKey(request: Request, apiKey: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(request.get('X-Api-Key') ?? ''), digest(apiKey));
}

async function readJson(request: Request, response: Response): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    parseJson(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  response.locals.logged.body = request.body ?? null;
}

/** Waits for the total of the `delay` faults. */
export async function applyDelays(faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) {
    if (fault.kind === 'delay') await delay(fault.delayMs, undefined, { ref: false });
  }
}

/**
 * Sends a response; undefined cuts the connection. Drains the request body first, so that the client reads the
 * response.
 */
export function send(answer: Answer | undefined, request: Request, response: Response): void {
  if (answer === undefined) return void request.socket.destroy();
  if (!request.complete) request.resume();
  response.status(answer.status).set(answer.headers).end(answer.body);
}
