import type { Request, Response } from 'express';
import { z } from 'zod';
import { jobFields } from '@lipsync/core/contract';
import { storeErrorCodes } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, scopeOf } from '../http/access.ts';
import { parseQuery } from '../http/parse-query.ts';
import { jsonResponse, type RouteDocumentation } from '../reference/documentation.ts';
import type { Route } from './route.ts';

const parameters = z.object({
  user_id: jobFields.userId
    .unwrap()
    .meta({ description: 'The `user_id` of the jobs, encoded for a URL.', examples: ['customer-42'] }),
});
const erasingUserSchema = z.strictObject({
  user_id: z.string().describe('That of the request.'),
  status: z.literal('erasing').describe('Repeat the request to see when nothing is left.'),
});

const documentation: RouteDocumentation = {
  operationId: 'deleteUser',
  tag: 'Lip-sync jobs',
  summary: 'Erase a user',
  description:
    'Erases all jobs with this `user_id`, of every kind: those of the API key, or of all keys for an admin key. A pseudonym replaces the `user_id` in the ledger. May be repeated.',
  parameters: { path: parameters },
  responses: {
    202: jsonResponse('The workers continue: jobs still run, or there are many.', erasingUserSchema, {
      erasing: { summary: 'A job still runs', value: { user_id: 'customer-42', status: 'erasing' } },
    }),
    204: { description: 'No job of the user is left.' },
  },
  problems: { 422: ['request_invalid'], 503: ['resource_exhausted', 'storage_unwritable', ...storeErrorCodes] },
};

/** Time after which a worker continues a deletion, so that the response does not wait for it. */
const erasureLimitMs = 5_000;

type Dependencies = Pick<ApiDependencies, 'userErasure' | 'keys'>;

/** Erases everything of a user, within the key of the caller or, for an admin key, of all keys. */
export function userRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'delete',
      path: '/users/:user_id',
      documentation,
      handle: (request, response) => deleteUser(dependencies, request, response),
    },
  ];
}

async function deleteUser({ userErasure, keys }: Dependencies, request: Request, response: Response): Promise<void> {
  const { user_id: userId } = parseQuery(parameters, request.params, 'request');
  const caller = callerOf(response);
  const state = await userErasure.erase(
    {
      userId,
      ...scopeOf(caller),
      isUserWithoutKey: caller.isAdmin && !keys.some(({ name }) => name === userId),
    },
    AbortSignal.timeout(erasureLimitMs),
  );
  if (state === 'erased') response.status(204).end();
  else response.status(202).json({ user_id: userId, status: 'erasing' });
}
