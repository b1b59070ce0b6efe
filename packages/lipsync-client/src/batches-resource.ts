import type { BatchPage, BatchRequest, BatchView, ListQuery } from './contract.ts';
import { openDownload, type Download } from './download.ts';
import { LipsyncApiError } from './errors.ts';
import type { CallOptions, CreateOptions, WaitOptions } from './jobs-resource.ts';
import { invalidResponse, type Transport } from './transport.ts';
import { wait } from './waits.ts';

const pollIntervalMs = 2_000;

/** Batches of lip-sync jobs. */
export class BatchesResource {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Creates a batch of up to 500 items with URLs. Its `LipsyncApiError` names every invalid item. */
  async create(
    { items, ...common }: BatchRequest,
    { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {},
  ): Promise<BatchView> {
    const headers = { 'Idempotency-Key': idempotencyKey };
    const toUrls = ({ video, audio, ...fields }: BatchRequest['items'][number]): object => ({
      video_url: String(video),
      audio_url: String(audio),
      ...fields,
    });
    const body = JSON.stringify({ ...common, items: items.map(toUrls) });
    return requireBatch(await this.#transport.requestJson({ method: 'POST', path: '/batches', headers, body, signal }));
  }

  /** The batch with its jobs and totals. */
  async get(id: string, { signal }: CallOptions = {}): Promise<BatchView> {
    return requireBatch(await this.#transport.requestJson({ path: pathOf(id), signal }));
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

  /** Waits until a batch has ended; polls it. An aborted signal ends the wait only. */
  async waitFor(id: string, { signal, onProgress }: WaitOptions<BatchView> = {}): Promise<BatchView> {
    for (;;) {
      const batch = await this.get(id, signal && { signal });
      onProgress?.(batch);
      if (batch.status === 'completed' || batch.status === 'canceled') return batch;
      await wait(pollIntervalMs, signal);
    }
  }

  async #act(id: string, action: string, { signal }: CallOptions): Promise<BatchView> {
    return requireBatch(await this.#transport.requestJson({ method: 'POST', path: `${pathOf(id)}/${action}`, signal }));
  }
}

function pathOf(id: string): string {
  return `/batches/${encodeURIComponent(id)}`;
}

function requireBatch(batch: BatchView | undefined): BatchView {
  if (typeof batch?.id !== 'string') throw invalidResponse('The response is no batch.');
  return batch;
}
