import type { Request, RequestHandler, Response } from 'express';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isTerminal, requireKind, type JobKind, type RequestKind, type JobRecord } from '@lipsync/core/host';
import type { BatchSummaryView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { openEventStream, type EventStream } from '../http/event-stream.ts';
import { HttpError } from '../http/problem.ts';
import { requireJob, type JobResource } from './job-resource.ts';

/** Shortest time between two events of a batch, whose jobs may end in quick succession. */
const batchEventIntervalMs = 250;

/**
 * Progress of jobs and batches as server-sent events. Ids of the events of a job are record revisions. Each stream keeps
 * a connection and a subscription while its job runs, so the number of streams is limited, over jobs of all kinds and
 * batches.
 */
export class EventStreams {
  readonly #dependencies: ApiDependencies;
  #open = 0;

  constructor(dependencies: ApiDependencies) {
    this.#dependencies = dependencies;
  }

  /** Handles requests for the events of a job of one kind. */
  handle<Kind extends RequestKind>(resource: JobResource<Kind>): RequestHandler {
    return this.#limit((request, response) => this.#stream(resource, request, response));
  }

  /** Handles requests for the events of a batch. */
  handleBatch(): RequestHandler {
    return this.#limit((request, response) => this.#streamBatch(request, response));
  }

  #limit(stream: (request: Request, response: Response) => Promise<void>): RequestHandler {
    return async (request, response) => {
      if (this.#open >= this.#dependencies.maxEventStreams)
        throw new HttpError('resource_exhausted', 'Too many event streams are open. Poll the job or batch instead.', {
          headers: { 'Retry-After': '10' },
        });
      this.#open += 1;
      try {
        await stream(request, response);
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
    const { store, jobs } = this.#dependencies;
    const record: JobRecord = await requireJob<JobKind>(store, kind, { request, response });
    const seenRevision = lastSeenRevision(request);
    if (isTerminal(record.status) && seenRevision >= record.revision) {
      // 204 stops a browser from reconnecting after the last event.
      response.status(204).end();
      return;
    }
    await this.#send(response, async (stream, signal) => {
      for await (const current of jobs.watch(record.id, signal)) {
        if (current.revision > seenRevision) {
          const data = view(requireKind(current, kind));
          await stream.send({ event: eventName(current), id: current.revision, data });
        }
      }
    });
  }

  async #streamBatch(request: Request, response: Response): Promise<void> {
    const { batches, store, jobs } = this.#dependencies;
    const { id } = await requireJob(store, 'batch', { request, response });
    const read = async (): Promise<BatchSummaryView | undefined> => {
      const batch = await store.get(id);
      return batch && batches.summarize(await batches.settle(requireKind(batch, 'batch')));
    };
    let seenState = request.get('Last-Event-ID');
    const first = await read();
    if (first && hasEnded(first) && seenState === stateOf(first)) {
      response.status(204).end();
      return;
    }
    await this.#send(response, async (stream, signal) => {
      for await (const batch of jobs.watchChanges({ jobId: id, signal, read })) {
        // The batch was deleted.
        if (!batch) return;
        const state = stateOf(batch);
        const event = hasEnded(batch) ? batch.status : 'progress';
        if (state !== seenState) await stream.send({ event, id: state, data: batch });
        if (hasEnded(batch)) return;
        seenState = state;
        await delay(batchEventIntervalMs, undefined, { signal });
      }
    });
  }

  /** Opens a stream, ends it after `send`, and ignores what `send` throws after the client has closed it. */
  async #send(response: Response, send: (stream: EventStream, signal: AbortSignal) => Promise<void>): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const stream = openEventStream(response, this.#dependencies.heartbeatMs, gone.signal);
    try {
      await send(stream, gone.signal);
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

function hasEnded({ status }: BatchSummaryView): boolean {
  return status === 'completed' || status === 'canceled';
}

/**
 * Identifies the state of a batch. Its events have no increasing ids: a retried job lowers the totals, and the record of
 * the batch does not change with its jobs.
 */
function stateOf(batch: BatchSummaryView): string {
  return createHash('sha256').update(JSON.stringify(batch)).digest('base64url').slice(0, 16);
}

function eventName({ status }: JobRecord): string {
  return isTerminal(status) ? status : 'progress';
}
