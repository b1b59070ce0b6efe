import { toBatchBody } from './batch-body.ts';
import type { BatchPage, BatchRequest, BatchSummary, BatchView, ListQuery } from './contract.ts';
import { openDownload, type Download } from './download.ts';
import { LipsyncApiError } from './errors.ts';
import type { CallOptions, CreateOptions, WaitOptions } from './jobs-resource.ts';
import { followState } from './state-stream.ts';
import { invalidResponse, type Transport } from './transport.ts';

/** A state of a batch. `type` is `progress` until the batch has ended. */
export interface BatchUpdate {
  readonly type: 'progress' | 'completed' | 'canceled';
  /** The batch without its jobs. */
  readonly batch: BatchSummary;
}

/** Batches of lip-sync jobs. */
export class BatchesResource {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Creates a batch of up to 500 items, whose inputs are URLs or files. Its `LipsyncApiError` names every invalid item. */
  async create(
    request: BatchRequest,
    { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {},
  ): Promise<BatchView> {
    const headers = { 'Idempotency-Key': idempotencyKey };
    const body = toBatchBody(request);
    return requireBatch(await this.#transport.requestJson({ method: 'POST', path: '/batches', headers, body, signal }));
  }

  /** The batch with its totals and jobs; with `limit` and `cursor` those of a page of items. */
  async get(
    id: string,
    { signal, ...query }: CallOptions & Pick<ListQuery, 'limit' | 'cursor'> = {},
  ): Promise<BatchView> {
    return requireBatch(await this.#transport.requestJson({ path: pathOf(id), query, signal }));
  }

  /** Returns a page of batches without their jobs, newest first. */
  async list(query: Pick<ListQuery, 'limit' | 'cursor'> = {}, { signal }: CallOptions = {}): Promise<BatchPage> {
    const page = await this.#transport.requestJson<BatchPage>({ path: '/batches', query, signal });
    if (!Array.isArray(page?.batches)) throw invalidResponse('The response is no page of batches.');
    return page;
  }

  /** Opens a zip of the videos that are completed by now, with a manifest of all jobs. */
  async download(id: string, { signal }: CallOptions = {}): Promise<Download> {
    return openDownload(this.#transport, `${pathOf(id)}/output`, signal);
  }

  /** Lets the jobs that have not started wait. */
  async pause(id: string, options: CallOptions = {}): Promise<BatchView> {
    return this.#act(id, 'pause', options);
  }

  async resume(id: string, options: CallOptions = {}): Promise<BatchView> {
    return this.#act(id, 'resume', options);
  }

  /** Cancels the jobs that have not ended; a batch that has ended stays as it is. */
  async cancel(id: string, options: CallOptions = {}): Promise<BatchView> {
    try {
      return await this.#act(id, 'cancel', options);
    } catch (error) {
      if (!(error instanceof LipsyncApiError) || error.code !== 'canceled') throw error;
      return this.get(id, options);
    }
  }

  /** Erases a batch with its jobs. Returns it while a job still stops, and undefined once it is erased. */
  async delete(id: string, { signal }: CallOptions = {}): Promise<BatchView | undefined> {
    return this.#transport.delete(pathOf(id), signal);
  }

  /** Waits until a batch has ended and returns it with its jobs. An aborted signal ends the wait only. */
  async waitFor(id: string, { signal, onProgress }: WaitOptions<BatchSummary> = {}): Promise<BatchView> {
    for await (const { batch } of this.subscribe(id, signal && { signal })) onProgress?.(batch);
    return this.get(id, signal && { signal });
  }

  /**
   * Yields status and totals of a batch now and after every change; the last one is its end. A broken connection resumes
   * after the last event. While the service has no stream to spare, the batch is polled.
   */
  async *subscribe(id: string, { signal }: CallOptions = {}): AsyncGenerator<BatchUpdate, void> {
    const read = async (): Promise<BatchSummary> => {
      const page = await this.get(id, { limit: 1, ...(signal && { signal }) });
      const { results: _results, next_cursor: _cursor, ...summary } = page;
      return summary;
    };
    const path = `${pathOf(id)}/events`;
    for await (const batch of followState<BatchSummary>({ transport: this.#transport, path, read, hasEnded, signal }))
      yield toUpdate(batch);
  }

  async #act(id: string, action: string, { signal }: CallOptions): Promise<BatchView> {
    return requireBatch(await this.#transport.requestJson({ method: 'POST', path: `${pathOf(id)}/${action}`, signal }));
  }
}

function pathOf(id: string): string {
  return `/batches/${encodeURIComponent(id)}`;
}

function toUpdate(batch: BatchSummary): BatchUpdate {
  const { status } = batch;
  return { type: status === 'completed' || status === 'canceled' ? status : 'progress', batch };
}

function hasEnded(batch: BatchSummary): boolean {
  return toUpdate(batch).type !== 'progress';
}

function requireBatch(batch: BatchView | undefined): BatchView {
  if (typeof batch?.id !== 'string') throw invalidResponse('The response is no batch.');
  return batch;
}
