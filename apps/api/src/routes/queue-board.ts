import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler } from 'express';
import { lanes, type LipsyncProducer } from '@lipsync/queue';

/**
 * Read-only Bull Board over the queues of all lanes. Built at the first request, so that the API starts without Redis.
 */
export function createQueueBoard({
  producer,
  basePath,
}: {
  readonly producer: LipsyncProducer;
  readonly basePath: string;
}): RequestHandler {
  let board: RequestHandler | undefined;

  async function build(): Promise<RequestHandler> {
    const queues = await Promise.all(lanes.map((lane) => producer.queue(lane)));
    const serverAdapter = new ExpressAdapter().setBasePath(basePath);
    createBullBoard({
      queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
      serverAdapter,
      options: { uiConfig: { boardTitle: 'Lipsync' } },
    });
    // The adapter types it as any; it is an Express router.
    const router: RequestHandler = serverAdapter.getRouter();
    return router;
  }

  return async (request, response, next) => {
    board ??= await build();
    return board(request, response, next);
  };
}
