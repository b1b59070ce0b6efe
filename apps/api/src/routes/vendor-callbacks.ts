import type { Request, Response } from 'express';
import { z } from 'zod';
import type { CallbackAttempt, ProviderStatus } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { HttpError } from '../http/problem.ts';
import type { RouteDocumentation } from '../reference/documentation.ts';
import type { Route } from './route.ts';

/** Repeated calls about one attempt within this time have no effect. */
const minimumGapMs = 1_000;

/** Number of attempts whose latest call is remembered; the oldest is dropped first. */
const maxRemembered = 10_000;

type Dependencies = Pick<ApiDependencies, 'jobs' | 'providers' | 'clock'>;

/**
 * Webhooks with which vendors report that an operation has ended. A call only triggers a poll of the operation: its
 * body is not read, and only the verification of the provider authenticates it.
 */
export function vendorCallbackRoutes(dependencies: Dependencies): readonly Route[] {
  const isTooSoon = createRateLimit(dependencies.clock);
  return dependencies.providers.flatMap((provider): readonly Route[] => {
    if (provider.callbackPath === null) return [];
    const path = `${provider.callbackPath}/:attempt`;
    return [
      {
        method: 'post',
        path,
        access: 'open',
        documentation: documentCallback(provider.id, 'post'),
        async handle(request, response) {
          const attempt = requireAttempt(provider, request);
          if (!isTooSoon(`${attempt.jobId}-${attempt.index}`)) await dependencies.jobs.hint(attempt);
          accept(response);
        },
      },
      // Some vendors send OPTIONS before the first call.
      {
        method: 'options',
        path,
        access: 'open',
        documentation: documentCallback(provider.id, 'options'),
        handle(request, response) {
          requireAttempt(provider, request);
          accept(response);
        },
      },
    ];
  });
}

function accept(response: Response): void {
  response.status(204).end();
}

/** Throws `not_found` for a call that fails verification, before any record is read. */
function requireAttempt(provider: ProviderStatus, { params, query }: Request): CallbackAttempt {
  const { attempt: attemptName } = params;
  const attempt = typeof attemptName === 'string' ? provider.verifyCallback({ attemptName, query }) : undefined;
  if (!attempt) throw new HttpError('not_found', 'Unknown route. /docs lists the routes of this API.');
  return attempt;
}

/** Returns a function that reports whether the previous call with that name was less than the minimum gap ago. */
function createRateLimit(clock: Dependencies['clock']): (name: string) => boolean {
  const latestMs = new Map<string, number>();
  return (name) => {
    const beforeMs = latestMs.get(name);
    const nowMs = clock.nowMs();
    if (beforeMs !== undefined && nowMs - beforeMs < minimumGapMs) return true;
    // Reinserted, so that the map stays ordered by the latest call.
    latestMs.delete(name);
    latestMs.set(name, nowMs);
    const [oldest] = latestMs.keys();
    if (latestMs.size > maxRemembered && oldest !== undefined) latestMs.delete(oldest);
    return false;
  };
}

function documentCallback(providerId: string, method: 'post' | 'options'): RouteDocumentation {
  const [name, summary] =
    method === 'post' ? ['report', `Report the end of an operation at ${providerId}`] : ['check', 'Check the address'];
  return {
    operationId: `${name}_${providerId}_operation`,
    tag: 'Vendor callbacks',
    summary,
    description: 'Only the vendor calls this address. The body is discarded unread.',
    parameters: {
      path: z.object({ attempt: z.string().describe('The attempt that the operation belongs to.') }),
      query: z.object({ token: z.string().optional().describe('Proof that the vendor received the address from us.') }),
    },
    responses: { 204: { description: 'Accepted.' } },
    problems: { 404: ['not_found'] },
  };
}
