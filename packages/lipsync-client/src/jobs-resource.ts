import type { Input, JobStatus, JobView, ListQuery, Page, QualityJobView } from './contract.ts';
import { LipsyncApiError, LipsyncJobError } from './errors.ts';
import { toBody } from './request-body.ts';
import { followState } from './state-stream.ts';
import { invalidResponse, type Transport } from './transport.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface CreateOptions extends CallOptions {
  /** Requests with equal keys and content create one job. Default: a new UUID, which covers the retries of this call. */
  readonly idempotencyKey?: string;
}

export interface WaitOptions<Job> extends CallOptions {
  /** Called with every state of the job that arrives. */
  readonly onProgress?: (job: Job) => void;
}

/** A state of a job. `type` is `progress` until the job has ended. */
export interface JobUpdate<Job> {
  readonly type: 'progress' | 'completed' | 'failed' | 'canceled';
  readonly job: Job;
}

const cancelLimitMs = 10_000;

/** Jobs of one kind. */
export class JobsResource<Job extends JobView | QualityJobView, Request extends object> {
  readonly #transport: Transport;
  readonly #path: string;
  readonly #inputs: readonly string[];

  constructor(transport: Transport, path: string, inputs: readonly string[]) {
    this.#transport = transport;
    this.#path = path;
    this.#inputs = inputs;
  }

  /** Creates a job and returns at once. The call may be retried: it creates one job. */
  async create(request: Request, { idempotencyKey = crypto.randomUUID(), signal }: CreateOptions = {}): Promise<Job> {
    const isInput = ([name]: readonly [string, unknown]): boolean => this.#inputs.includes(name);
    const entries: [string, unknown][] = Object.entries(request);
    // `as`: the type of the request has an input in each of these fields.
    const inputs: Record<string, Input> = Object.fromEntries(entries.filter(isInput) as [string, Input][]);
    const body = toBody(inputs, Object.fromEntries(entries.filter((entry) => !isInput(entry))));
    const headers = { 'Idempotency-Key': idempotencyKey };
    return this.#job(await this.#transport.requestJson({ method: 'POST', path: this.#path, headers, body, signal }));
  }

  /**
   * Creates a job and waits for its result. Throws `LipsyncJobError` if the job fails or is canceled. An aborted signal
   * cancels the job.
   */
  async run(request: Request, options: CreateOptions & WaitOptions<Job> = {}): Promise<Job> {
    const { id } = await this.create(request, options);
    const job = await this.waitOrCancel(id, options);
    if (job.status !== 'completed') throw new LipsyncJobError(job);
    return job;
  }

  /** Like `waitFor`, but an aborted signal cancels the job. */
  async waitOrCancel(id: string, options: WaitOptions<Job> = {}): Promise<Job> {
    try {
      return await this.waitFor(id, options);
    } catch (error) {
      if (options.signal?.aborted)
        await this.cancel(id, { signal: AbortSignal.timeout(cancelLimitMs) }).catch(() => undefined);
      throw error;
    }
  }

  async get(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#job(await this.#transport.requestJson({ path: this.#pathOf(id), signal }));
  }

  /** Returns a page of jobs, newest first. */
  async list(query: ListQuery = {}, { signal }: CallOptions = {}): Promise<Page<Job>> {
    const page = await this.#transport.requestJson<Page<Job>>({ path: this.#path, query, signal });
    if (!Array.isArray(page?.jobs)) throw invalidResponse('The response is no page of jobs.');
    return page;
  }

  /** Yields the jobs of all pages, newest first. */
  async *listAll(query: ListQuery = {}, options: CallOptions = {}): AsyncGenerator<Job, void> {
    for (let cursor = query.cursor; ;) {
      const page = await this.list({ ...query, ...(cursor !== undefined && { cursor }) }, options);
      yield* page.jobs;
      if (page.next_cursor === null) return;
      cursor = page.next_cursor;
    }
  }

  /** Cancels a job and returns it; one that has ended stays as it is. A running job ends shortly afterwards. */
  async cancel(id: string, { signal }: CallOptions = {}): Promise<Job> {
    try {
      const path = `${this.#pathOf(id)}/cancel`;
      return this.#job(await this.#transport.requestJson({ method: 'POST', path, signal }));
    } catch (error) {
      if (!(error instanceof LipsyncApiError) || error.code !== 'canceled') throw error;
      return this.get(id, signal && { signal });
    }
  }

  /** Runs a failed job again from its stored inputs. Throws if it has not failed or cannot run again. */
  async retry(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#job(await this.#transport.requestJson({ method: 'POST', path: `${this.#pathOf(id)}/retry`, signal }));
  }

  /** Erases a job with its files. Returns the job while it still runs, and undefined once it is erased. */
  async delete(id: string, { signal }: CallOptions = {}): Promise<Job | undefined> {
    return this.#transport.delete(this.#pathOf(id), signal);
  }

  /** Waits until a job has ended, whatever its status is, and returns it. An aborted signal ends the wait only. */
  async waitFor(id: string, { signal, onProgress }: WaitOptions<Job> = {}): Promise<Job> {
    for await (const { type, job } of this.subscribe(id, signal && { signal })) {
      onProgress?.(job);
      if (type !== 'progress') return job;
    }
    return this.get(id, signal && { signal });
  }

  /**
   * Yields the state of a job now and after every change; the last one is its end. A broken connection resumes after the
   * last event. While the service has no stream to spare, the job is polled.
   */
  async *subscribe(id: string, { signal }: CallOptions = {}): AsyncGenerator<JobUpdate<Job>, void> {
    const read = (): Promise<Job> => this.get(id, signal && { signal });
    const path = `${this.#pathOf(id)}/events`;
    const states = followState<Job>({ transport: this.#transport, path, read, hasEnded, signal });
    for await (const job of states) yield toUpdate(job);
  }

  #pathOf(id: string): string {
    return `${this.#path}/${encodeURIComponent(id)}`;
  }

  #job(job: Job | undefined): Job {
    if (typeof job?.id !== 'string') throw invalidResponse('The response is no job.');
    return job;
  }
}

function toUpdate<Job extends { readonly status: JobStatus }>(job: Job): JobUpdate<Job> {
  const { status } = job;
  return { type: status === 'queued' || status === 'processing' ? 'progress' : status, job };
}

function hasEnded({ status }: { readonly status: JobStatus }): boolean {
  return status !== 'queued' && status !== 'processing';
}
