import type { Request, Response } from 'express';
import type { ApiDependencies } from '../dependencies.ts';
import { healthViewSchema, readinessViewSchema } from '@lipsync/core/contract';
import { KeyAccess } from '../http/key-access.ts';
import { createLoginLimit } from '../http/rate-limit.ts';
import { jsonResponse } from '../reference/documentation.ts';
import type { Route } from './route.ts';

/** Liveness (the process responds) and readiness (the parts that it needs work). Both need no key. */
export function healthRoutes(dependencies: ApiDependencies): readonly Route[] {
  const { keys, rateLimit } = dependencies;
  const keyAccess = new KeyAccess({ keys, loginLimit: createLoginLimit(rateLimit) });
  const mayReadDetails = async (request: Request, response: Response): Promise<boolean> =>
    keys.length === 0 || keyAccess.hasKey(request, response);
  return [
    {
      method: 'get',
      path: '/health',
      access: 'open',
      documentation: {
        operationId: 'getHealth',
        tag: 'Operations',
        summary: 'Liveness of the process',
        responses: { 200: jsonResponse('The process is alive.', healthViewSchema) },
      },
      handle: (_request, response) => void response.json({ status: 'ok' }),
    },
    {
      method: 'get',
      path: '/ready',
      access: 'open',
      documentation: {
        operationId: 'getReadiness',
        tag: 'Operations',
        summary: 'Readiness of Redis, the data folder and the output folder',
        description: 'With a key, `checks` and `reasons` name the cause.',
        responses: {
          200: jsonResponse('Every part works.', readinessViewSchema),
          503: jsonResponse('A part failed.', readinessViewSchema),
        },
      },
      handle: (request, response) => answerReadiness(dependencies, { request, response, mayReadDetails }),
    },
  ];
}

interface ReadinessRequest {
  readonly request: Request;
  readonly response: Response;
  readonly mayReadDetails: (request: Request, response: Response) => Promise<boolean>;
}

/** Reasons name folders and settings, so that a caller without a key receives the status only. */
async function answerReadiness(
  { readiness }: Pick<ApiDependencies, 'readiness'>,
  { request, response, mayReadDetails }: ReadinessRequest,
): Promise<void> {
  const parts = await readiness.read();
  const failed = parts.filter(({ reason }) => reason !== null);
  const status = failed.length === 0 ? 'ready' : 'not_ready';
  response.status(failed.length === 0 ? 200 : 503).set('Cache-Control', 'no-store');
  if (!(await mayReadDetails(request, response))) {
    response.json({ status });
    return;
  }
  response.json({
    status,
    checks: Object.fromEntries(parts.map(({ name, reason }) => [name, reason === null ? 'ok' : 'failed'])),
    reasons: Object.fromEntries(failed.map(({ name, reason }) => [name, reason])),
  });
}
