import type { Request, RequestHandler, Response } from 'express';
import { isTerminal, requireKind, type JobRecord } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { openEventStream } from '../http/event-stream.ts';
import { HttpError } from '../http/problem.ts';
import { requireJob, viewJob } from './job-views.ts';
import type { Route } from './route.ts';

/** Progress of a job as server-sent events; event ids are record revisions. */
export function lipsyncEventRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/lipsync/:id/events',
      handle: limitStreams(dependencies.maxEventStreams, streamEvents(dependencies)),
    },
  ];
}

/** Each stream keeps a connection and a subscription while its job runs, so their number is limited. */
function limitStreams(
  maxStreams: number,
  handle: (request: Request, response: Response) => Promise<void>,
): RequestHandler {
  let open = 0;
  return async (request, response) => {
    if (open >= maxStreams)
      throw new HttpError('resource_exhausted', 'Too many event streams are open. Poll the job instead.', {
        headers: { 'Retry-After': '10' },
      });
    open += 1;
    try {
      await handle(request, response);
    } finally {
      open -= 1;
    }
  };
}

function streamEvents({
  store,
  jobs,
  publicBaseUrl,
  heartbeatMs,
}: ApiDependencies): (request: Request, response: Response) => Promise<void> {
  return async (request, response) => {
    const record = await requireJob(store, 'lipsync', request.params['id']);
    const seenRevision = lastSeenRevision(request);
    if (isTerminal(record.status) && seenRevision >= record.revision) {
      // 204 stops a browser from reconnecting after the last event.
      response.status(204).end();
      return;
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const stream = openEventStream(response, heartbeatMs, gone.signal);
    try {
      for await (const current of jobs.watch(record.id, gone.signal)) {
        if (current.revision > seenRevision) {
          await stream.send({
            event: eventName(current),
            id: current.revision,
            data: viewJob(publicBaseUrl, requireKind(current, 'lipsync')),
          });
        }
      }
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
    stream.end();
  };
}

function lastSeenRevision(request: Request): number {
  const given = request.get('Last-Event-ID') ?? '';
  return /^\d{1,15}$/.test(given) ? Number(given) : -1;
}

function eventName({ status }: JobRecord): string {
  return isTerminal(status) ? status : 'progress';
}
