import type { Request, RequestHandler, Response } from 'express';
import { isTerminal, requireKind, type JobKind, type RequestKind, type JobRecord } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { openEventStream } from '../http/event-stream.ts';
import { HttpError } from '../http/problem.ts';
import { requireJob, type JobResource } from './job-resource.ts';

/**
 * Progress of jobs as server-sent events; event ids are record revisions. Each stream keeps a connection and a
 * subscription while its job runs, so the number of streams is limited, over all kinds of jobs.
 */
export class EventStreams {
  readonly #dependencies: ApiDependencies;
  #open = 0;

  constructor(dependencies: ApiDependencies) {
    this.#dependencies = dependencies;
  }

  /** Handles requests for the events of a job of one kind. */
  handle<Kind extends RequestKind>(resource: JobResource<Kind>): RequestHandler {
    return async (request, response) => {
      if (this.#open >= this.#dependencies.maxEventStreams)
        throw new HttpError('resource_exhausted', 'Too many event streams are open. Poll the job instead.', {
          headers: { 'Retry-After': '10' },
        });
      this.#open += 1;
      try {
        await this.#stream(resource, request, response);
      } finally {
        this.#open -= 1;
      }
    };
  }

  async #stream<Kind extends RequestKind>(
    { kind, view }: JobResource<Kind>,
    request: Request,
    response: Response,
  ): Promise<void> {
    const { store, jobs, heartbeatMs } = this.#dependencies;
    const record: JobRecord = await requireJob<JobKind>(store, kind, { request, response });
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
          const data = view(requireKind(current, kind));
          await stream.send({ event: eventName(current), id: current.revision, data });
        }
      }
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
    stream.end();
  }
}

function lastSeenRevision(request: Request): number {
  const given = request.get('Last-Event-ID') ?? '';
  return /^\d{1,15}$/.test(given) ? Number(given) : -1;
}

function eventName({ status }: JobRecord): string {
  return isTerminal(status) ? status : 'progress';
}
