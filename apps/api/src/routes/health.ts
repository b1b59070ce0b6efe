import type { Request, Response } from 'express';
import type { ApiDependencies } from '../dependencies.ts';
import { createKeyCheck } from '../http/access.ts';
import type { Route } from './route.ts';

/** Liveness (the process responds) and readiness (the parts that it needs work). Both need no key. */
export function healthRoutes(dependencies: ApiDependencies): readonly Route[] {
  const hasKey = createKeyCheck(dependencies.keys);
  return [
    {
      method: 'get',
      path: '/health',
      open: true,
      handle: (_request, response) => void response.json({ status: 'ok' }),
    },
    {
      method: 'get',
      path: '/ready',
      open: true,
      handle: (request, response) => answerReadiness(dependencies, { request, response, hasKey }),
    },
  ];
}

interface ReadinessRequest {
  readonly request: Request;
  readonly response: Response;
  readonly hasKey: (request: Request) => boolean;
}

/** Reasons name folders and settings, so that a caller without a key receives the status only. */
async function answerReadiness(
  { readiness }: Pick<ApiDependencies, 'readiness'>,
  { request, response, hasKey }: ReadinessRequest,
): Promise<void> {
  const parts = await readiness.read();
  const failed = parts.filter(({ reason }) => reason !== null);
  const status = failed.length === 0 ? 'ready' : 'not_ready';
  response.status(failed.length === 0 ? 200 : 503).set('Cache-Control', 'no-store');
  if (!hasKey(request)) {
    response.json({ status });
    return;
  }
  response.json({
    status,
    checks: Object.fromEntries(parts.map(({ name, reason }) => [name, reason === null ? 'ok' : 'failed'])),
    reasons: Object.fromEntries(failed.map(({ name, reason }) => [name, reason])),
  });
}
