import type { Response } from 'express';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiDependencies, ReadinessCheck } from '../dependencies.ts';
import type { Route } from './route.ts';

const checkTimeLimitMs = 2_000;

/** Liveness (the process responds) and readiness (its dependencies work). */
export function healthRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/health',
      open: true,
      handle: (_request, response) => void response.json({ status: 'ok' }),
    },
    { method: 'get', path: '/ready', handle: (_request, response) => answerReadiness(dependencies, response) },
  ];
}

async function answerReadiness({ readiness, logger }: ApiDependencies, response: Response): Promise<void> {
  const outcomes = await Promise.all(
    readiness.map(async (check) => ({ name: check.name, error: await failureOf(check) })),
  );
  const failed = outcomes.filter(({ error }) => error !== undefined);
  for (const { name, error } of failed) logger.warn({ check: name, error }, 'not ready');
  response.status(failed.length === 0 ? 200 : 503).json({
    status: failed.length === 0 ? 'ready' : 'not_ready',
    checks: Object.fromEntries(outcomes.map(({ name, error }) => [name, error === undefined ? 'ok' : 'failed'])),
  });
}

/** Each check has its own limits; this one bounds the response time of the route. */
async function failureOf({ check }: ReadinessCheck): Promise<unknown> {
  const finished = new AbortController();
  const timeout = delay(checkTimeLimitMs, new Error('no response in time'), { signal: finished.signal }).catch(
    () => undefined,
  );
  const outcome = check().then(
    () => undefined,
    (error: unknown) => error ?? new Error('failed'),
  );
  const first = await Promise.race([outcome, timeout]);
  finished.abort();
  return first;
}
