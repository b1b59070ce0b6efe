import type { Request, Response } from 'express';
import { z } from 'zod';
import { isOfKind, toReceiverView, type JobRecord, type SilencedReceiver } from '@lipsync/core/host';
import { receiverPageViewSchema } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, mayAccess, scopeOf } from '../http/access.ts';
import { pageFields, parseQuery } from '../http/parse-query.ts';
import { HttpError } from '../http/problem.ts';
import { jsonResponse, receiverIdPath } from '../reference/documentation.ts';
import type { Route } from './route.ts';

const receiverQuery = z.strictObject(pageFields('receivers'));

type Dependencies = Pick<ApiDependencies, 'receivers' | 'store'>;

/** Routes that list the receivers of webhooks that are switched off, and switch one on. */
export function receiverRoutes(dependencies: Dependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/webhooks/receivers',
      documentation: {
        operationId: 'listSwitchedOffReceivers',
        tag: 'Webhooks',
        summary: 'List the receivers that are switched off',
        description: 'A receiver that answers `410` gets no messages until it is switched on.',
        parameters: { query: receiverQuery },
        responses: {
          200: jsonResponse('Those of your key; of all keys for an admin key.', receiverPageViewSchema),
        },
        problems: { 422: ['request_invalid'] },
      },
      handle: (request, response) => listReceivers(dependencies, request, response),
    },
    {
      method: 'post',
      path: '/webhooks/receivers/:id/switch-on',
      documentation: {
        operationId: 'switchOnReceiver',
        tag: 'Webhooks',
        summary: 'Switch a receiver on',
        description:
          'It gets the messages of all new events. Messages that were not sent meanwhile have failed; replay their deliveries. ' +
          'The next `410` switches it off again.',
        parameters: { path: receiverIdPath },
        responses: { 204: { description: 'The receiver is on.' } },
        problems: { 404: ['not_found'] },
      },
      handle: (request, response) => switchOn(dependencies, request, response),
    },
  ];
}

async function listReceivers({ receivers, store }: Dependencies, request: Request, response: Response): Promise<void> {
  const { limit, cursor } = parseQuery(receiverQuery, request.query);
  const scope = scopeOf(callerOf(response));
  const page = await receivers.list({ limit, ...scope, ...(cursor !== undefined && { after: cursor }) });
  const views = page.receivers.map(async (receiver) => toReceiverView(receiver, await readDelivery(store, receiver)));
  response.json({ receivers: await Promise.all(views), next_cursor: page.nextCursor });
}

async function readDelivery(
  store: Dependencies['store'],
  { deliveryId }: SilencedReceiver,
): Promise<JobRecord<'webhook'> | undefined> {
  const record = deliveryId === null ? undefined : await store.get(deliveryId);
  return record && isOfKind(record, 'webhook') ? record : undefined;
}

async function switchOn({ receivers }: Dependencies, request: Request, response: Response): Promise<void> {
  const id = String(request.params['id']);
  const receiver = await receivers.find(id);
  if (!receiver || !mayAccess(callerOf(response), receiver.owner))
    throw new HttpError('not_found', 'No receiver with this id is switched off. GET /webhooks/receivers lists them.');
  await receivers.switchOnById(id);
  response.status(204).end();
}
