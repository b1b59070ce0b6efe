import { createHash, timingSafeEqual } from 'node:crypto';
import express, { type IRouter, type Request, type Response } from 'express';
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRules } from '../faults/fault-rules.ts';
import type { Fault } from '../faults/fault-types.ts';
import { spoiltAnswer } from '../faults/spoilt-answer.ts';
import type { Answer } from './answer.ts';
import { errorAnswer, HeygenError, toHeygenError } from './heygen-error.ts';
import type { IdempotencyStore } from './idempotency.ts';
import type { AnswerRoute } from './route.ts';
import { xmlAnswer } from './xml-answer.ts';

export interface AnswerDependencies {
  readonly apiKey: string;
  readonly faults: FaultRules;
  readonly idempotency: IdempotencyStore;
}

const parseJson = express.json({ limit: '1mb' });

export function mountAnswers(router: IRouter, routes: readonly AnswerRoute[], dependencies: AnswerDependencies): void {
  for (const route of routes) {
    router[route.method](route.path, (request, response) => serve(route, request, response, dependencies));
  }
}

async function serve(
  route: AnswerRoute,
  request: Request,
  response: Response,
  dependencies: AnswerDependencies,
): Promise<void> {
  const { logged } = response.locals;
  logged.route = route.name;
  const refusal = refuseKey(route, request, response, dependencies.apiKey);
  if (refusal !== undefined) return send(refusal, request, response);
  try {
    if (route.readsBody !== true) await readJson(request, response);
  } catch (error) {
    return send(errorAnswer(toHeygenError(error)), request, response);
  }
  const faults = dependencies.faults.take({ route: route.name, ...route.subject?.(request) });
  logged.faults = faults.map(({ kind }) => kind);
  const spoilt = spoiltAnswer(faults);
  if (spoilt?.accepted === false) {
    await delayed(faults);
    return send(spoilt.answer, request, response);
  }
  const answer = await answerTruly(route, request, faults, dependencies);
  return send(spoilt === undefined ? answer : spoilt.answer, request, response);
}

async function answerTruly(
  route: AnswerRoute,
  request: Request,
  faults: readonly Fault[],
  { idempotency }: AnswerDependencies,
): Promise<Answer> {
  // A slow answer is slow work: whoever repeats the request meanwhile is told that it is in progress.
  const work = async (): Promise<Answer> => {
    await delayed(faults);
    return route.handle({ request, faults });
  };
  try {
    const key = route.idempotent === true ? request.get('Idempotency-Key') : undefined;
    return await idempotency.run(`${request.method} ${request.path}`, key, work);
  } catch (error) {
    return errorAnswer(toHeygenError(error));
  }
}

function refuseKey(route: AnswerRoute, request: Request, response: Response, apiKey: string): Answer | undefined {
  if (route.signed !== true)
    return hasKey(request, apiKey) ? undefined : errorAnswer(new HeygenError(401, 'unauthorized', 'Unauthorized'));
  return refuseLeak(request, response);
}

/** The refusal of a signed link that was called with a secret, which is noted; undefined where none came. */
export function refuseLeak(request: Request, response: Response): Answer | undefined {
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

/** Waits as long as the faults of a request say. */
export async function delayed(faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) {
    if (fault.kind === 'delay') await delay(fault.delayMs, undefined, { ref: false });
  }
}

/** Sends an answer; undefined cuts the connection. What is left of the request's body is read first, so that the caller can read. */
export function send(answer: Answer | undefined, request: Request, response: Response): void {
  if (answer === undefined) return void request.socket.destroy();
  if (!request.complete) request.resume();
  response.status(answer.status).set(answer.headers).end(answer.body);
}
