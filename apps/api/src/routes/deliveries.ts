import type { Request, Response } from 'express';
import { z } from 'zod';
import { requireKind, toDeliveryView } from '@lipsync/core/host';
import { deliveryPageViewSchema, deliveryViewSchema, jobStatuses } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, scopeOf } from '../http/access.ts';
import { pageFields, parseQuery } from '../http/parse-query.ts';
import { deliveryIdPath, jsonResponse } from '../reference/documentation.ts';
import { requireJob } from './job-resource.ts';
import type { Route } from './route.ts';

const deliveryQuery = z.strictObject({
  job_id: z.string().min(1).max(64).optional().describe('Only messages about this job or batch.'),
  status: z.enum(jobStatuses).optional().describe('Only deliveries with this status.'),
  ...pageFields('deliveries'),
});

type Dependencies = Pick<ApiDependencies, 'jobs' | 'store'>;

/** Routes that list the deliveries of webhooks and send a message again. */
export function deliveryRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/webhooks/deliveries',
      documentation: {
        operationId: 'listDeliveries',
        tag: 'Webhooks',
        summary: 'List the deliveries of webhooks',
        parameters: { query: deliveryQuery },
        responses: {
          200: jsonResponse(
            'A page of the deliveries of your key; of all keys for an admin key.',
            deliveryPageViewSchema,
          ),
        },
        problems: { 422: ['request_invalid'] },
      },
      handle: (request, response) => listDeliveries(dependencies, request, response),
    },
    {
      method: 'post',
      path: '/webhooks/deliveries/:id/replay',
      documentation: {
        operationId: 'replayDelivery',
        tag: 'Webhooks',
        summary: 'Send a message again',
        description:
          'The message is sent at once, with the same `webhook-id`, and its schedule starts again. If the receiver, which ' +
          'was switched off because it answered 410, accepts the message, it is switched on again.',
        parameters: { path: deliveryIdPath },
        responses: { 202: jsonResponse('The delivery.', deliveryViewSchema) },
        problems: { 404: ['not_found'] },
      },
      handle: (request, response) => replayDelivery(dependencies, request, response),
    },
  ];
}

async function listDeliveries({ store }: Dependencies, request: Request, response: Response): Promise<void> {
  const { job_id: subjectId, status, limit, cursor } = parseQuery(deliveryQuery, request.query);
  const page = await store.list({
    kind: 'webhook',
    limit,
    ...(cursor !== undefined && { cursor }),
    ...(status && { status }),
    ...(subjectId !== undefined && { subjectId }),
    ...scopeOf(callerOf(response)),
  });
  response.json({ deliveries: page.records.map(toDeliveryView), next_cursor: page.nextCursor });
}

async function replayDelivery({ jobs, store }: Dependencies, request: Request, response: Response): Promise<void> {
  const { id } = await requireJob(store, 'webhook', { request, response });
  response.status(202).json(toDeliveryView(requireKind(await jobs.replay(id), 'webhook')));
}
