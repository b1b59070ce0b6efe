import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { RequestHandler } from 'express';
import { lanes, type LipsyncProducer } from '@lipsync/queue';

/**
 * Bull Board over the queues of all lanes, to look at only. Built with the first request that finds Redis in reach, so
 * that the API also starts without it.
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
    // Typed any by the adapter; it is an Express app.
    const router: RequestHandler = serverAdapter.getRouter();
    return router;
  }

  return async (request, response, next) => {
    board ??= await build();
    return board(request, response, next);
  };
}
