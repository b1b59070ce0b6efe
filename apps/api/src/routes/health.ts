import type { Request, Response } from 'express';
import type { ApiDependencies } from '../dependencies.ts';
import type { Route } from './route.ts';

const checkTimeLimitMs = 2_000;

/** Liveness (the process answers) and readiness (what it needs works). */
export function healthRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    { method: 'get', path: '/health', open: true, handle: (_request, response) => void response.json({ status: 'ok' }) },
    { method: 'get', path: '/ready', handle: (request, response) => answerReadiness(dependencies, request, response) },
  ];
}

async function answerReadiness({ readiness, logger }: ApiDependencies, _request: Request, response: Response): Promise<void> {
  const signal = AbortSignal.timeout(checkTimeLimitMs);
  const outcomes = await Promise.allSettled(readiness.map(({ check }) => check(signal)));
  const checks = Object.fromEntries(readiness.map(({ name }, index) => [name, outcomes[index]?.status === 'fulfilled' ? 'ok' : 'failed']));
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') logger.warn({ err: outcome.reason }, 'not ready');
  }
  const ready = outcomes.every(({ status }) => status === 'fulfilled');
  response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not_ready', checks });
}
