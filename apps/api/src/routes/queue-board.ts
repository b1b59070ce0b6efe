import { createBullBoard } from '@bull-board/api';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler } from 'express';
import type { JobStore } from '@lipsync/core/host';
import { lanes, type Lane, type LipsyncProducer } from '@lipsync/queue';
import { RecordedQueueAdapter } from './queue-board-entries.ts';

const texts: Readonly<Record<Lane, { readonly displayName: string; readonly description: string }>> = {
  fetch: { displayName: 'Fetch inputs', description: 'Downloads inputs from URLs.' },
  cloud: {
    displayName: 'Remote providers',
    description:
      'Jobs at remote providers. "Delayed" holds those that wait for a slot, an operation, the probe of a circuit breaker or storage; the name states which. Jobs of paused batches are in no queue: GET /batches lists these.',
  },
  render: {
    displayName: 'Render',
    description:
      'Jobs of local engines and quality jobs. "Delayed" holds those that wait for storage. Jobs of paused batches are in no queue: GET /batches lists these.',
  },
  webhook: {
    displayName: 'Webhooks',
    description:
      'Messages to receivers. "Delayed" holds those that are tried again. GET /webhooks/receivers lists the receivers that are switched off.',
  },
};

/**
 * Read-only Bull Board over the queues of all lanes, with what the records of their jobs state. Built at the first
 * request, so that the API starts without Redis.
 */
export function createQueueBoard({
  producer,
  store,
  basePath,
}: {
  readonly producer: LipsyncProducer;
  readonly store: Pick<JobStore, 'get'>;
  readonly basePath: string;
}): RequestHandler {
  let board: RequestHandler | undefined;

  async function build(): Promise<RequestHandler> {
    const queues = await Promise.all(
      lanes.map(async (lane) => new RecordedQueueAdapter(await producer.queue(lane), { store, ...texts[lane] })),
    );
    const serverAdapter = new ExpressAdapter().setBasePath(basePath);
    createBullBoard({ queues, serverAdapter, options: { uiConfig: { boardTitle: 'Lipsync' } } });
    // The adapter types it as any; it is an Express router.
    const router: RequestHandler = serverAdapter.getRouter();
    return router;
  }

  return async (request, response, next) => {
    board ??= await build();
    return board(request, response, next);
  };
}
