import type { Request, Response } from 'express';
import {
  attemptOfCallback,
  heygenCallbackPath,
  heygenCallbackTokenParameter,
  type CallbackAttempt,
} from '@lipsync/core';
import type { ApiDependencies } from '../dependencies.ts';
import { HttpError } from '../http/problem.ts';
import { drainRefusedBody } from '../http/refused-body.ts';
import type { Route } from './route.ts';

/** Calls about one attempt that come sooner after another one change nothing. */
const shortestGapMs = 1_000;

/** Attempts whose latest call is remembered; the oldest is forgotten for one more. */
const mostRemembered = 10_000;

type Dependencies = Pick<ApiDependencies, 'jobs' | 'heygenApiKey' | 'clock'>;

/**
 * Where HeyGen tells that an operation has ended. No more than a hint to ask it now: what the call says is not read, and
 * who made it is not known but for the token in its URL.
 */
export function heygenCallbackRoutes(dependencies: Dependencies): readonly Route[] {
  const path = `${heygenCallbackPath}/:attempt`;
  const isTooSoon = createGate(dependencies.clock);
  return [
    {
      method: 'post',
      path,
      open: true,
      handle: (request, response) => takeHint(dependencies, isTooSoon, request, response),
    },
    // Asked before the first call by some senders, to see whether anybody is there.
    { method: 'options', path, open: true, handle: (request, response) => answer(dependencies, request, response) },
  ];
}

async function takeHint(
  dependencies: Dependencies,
  isTooSoon: (name: string) => boolean,
  request: Request,
  response: Response,
): Promise<void> {
  const attempt = requireAttempt(dependencies, request);
  if (!isTooSoon(`${attempt.jobId}-${attempt.index}`)) await dependencies.jobs.hint(attempt);
  answer(dependencies, request, response);
}

function answer(dependencies: Dependencies, request: Request, response: Response): void {
  requireAttempt(dependencies, request);
  drainRefusedBody(request);
  response.status(204).end();
}

/** Throws `not_found` for a token that was not given out for this attempt, before anything is looked up. */
function requireAttempt({ heygenApiKey }: Dependencies, { params, query }: Request): CallbackAttempt {
  const { [heygenCallbackTokenParameter]: token } = query;
  const name = params['attempt'];
  const attempt =
    heygenApiKey !== null && typeof name === 'string' && typeof token === 'string'
      ? attemptOfCallback(heygenApiKey, name, token)
      : undefined;
  if (!attempt) throw new HttpError('not_found', 'There is nothing at this address.');
  return attempt;
}

/** Whether something of that name came a moment ago. */
function createGate({ nowMs }: Dependencies['clock']): (name: string) => boolean {
  const latestMs = new Map<string, number>();
  return (name) => {
    const beforeMs = latestMs.get(name);
    if (beforeMs !== undefined && nowMs() - beforeMs < shortestGapMs) return true;
    // Set anew, so that the map stays in the order of the calls.
    latestMs.delete(name);
    latestMs.set(name, nowMs());
    const [oldest] = latestMs.keys();
    if (latestMs.size > mostRemembered && oldest !== undefined) latestMs.delete(oldest);
    return false;
  };
}
