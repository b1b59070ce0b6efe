import type {
  CostsQuery,
  CostsView,
  EstimateRequest,
  EstimateView,
  Input,
  JobView,
  LipsyncRequest,
  OriginView,
  ProvidersView,
  QualityJobView,
  QualityRequest,
} from './contract.ts';
import { BatchesResource } from './batches-resource.ts';
import { DeliveriesResource } from './deliveries-resource.ts';
import { openDownload, type Download } from './download.ts';
import { JobsResource, type CallOptions, type CreateOptions, type WaitOptions } from './jobs-resource.ts';
import { toBody } from './request-body.ts';
import { invalidResponse, Transport, type ApiRequest, type ClientOptions } from './transport.ts';

/**
 * Client of a lip-sync service. Requests and responses have the shapes and names of its HTTP API. Methods throw
 * `LipsyncApiError`, `LipsyncConnectionError`, and the reason of an aborted signal.
 */
export class LipsyncClient extends JobsResource<JobView, LipsyncRequest> {
  /** Jobs that measure a video: `quality.run({ video })`. */
  readonly quality: JobsResource<QualityJobView, QualityRequest>;
  readonly batches: BatchesResource;
  readonly deliveries: DeliveriesResource;
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    const transport = new Transport(options);
    super(transport, '/lipsync', ['video', 'audio']);
    this.quality = new JobsResource(transport, '/quality', ['video', 'source', 'audio']);
    this.batches = new BatchesResource(transport);
    this.deliveries = new DeliveriesResource(transport);
    this.#transport = transport;
  }

  /**
   * Makes a lip-sync and waits for it. Throws `LipsyncJobError` if the job fails or is canceled. An aborted signal cancels
   * the job.
   */
  async generate(request: LipsyncRequest, options: CreateOptions & WaitOptions<JobView> = {}): Promise<JobView> {
    return this.run(request, options);
  }

  /** Opens the output of a completed job. Throws the code `not_found` before. */
  async download(id: string, { signal }: CallOptions = {}): Promise<Download> {
    return openDownload(this.#transport, `/lipsync/${encodeURIComponent(id)}/output`, signal);
  }

  /** Plan, cost and time of a job with inputs of these lengths. Nothing starts. */
  async estimate(request: EstimateRequest, { signal }: CallOptions = {}): Promise<EstimateView> {
    return this.#request({ method: 'POST', path: '/estimate', body: JSON.stringify(request), signal });
  }

  /** Who signed the origin of a file, and whether it was changed since. */
  async verify(video: Input, { signal }: CallOptions = {}): Promise<OriginView> {
    return this.#request({ method: 'POST', path: '/verify', body: toBody({ video }, {}), signal });
  }

  /** Spent and reserved money; by default of the current month by day. */
  async costs(query: CostsQuery = {}, { signal }: CallOptions = {}): Promise<CostsView> {
    return this.#request({ path: '/costs', query, signal });
  }

  async providers({ signal }: CallOptions = {}): Promise<ProvidersView> {
    return this.#request({ path: '/providers', signal });
  }

  /**
   * Erases all jobs with this `user_id`. Returns `erasing` while the workers continue; repeat the call to see when nothing
   * is left.
   */
  async deleteUser(userId: string, { signal }: CallOptions = {}): Promise<'erased' | 'erasing'> {
    const path = `/users/${encodeURIComponent(userId)}`;
    const body = await this.#transport.requestJson({ method: 'DELETE', path, signal });
    return body === undefined ? 'erased' : 'erasing';
  }

  async #request<Body>(request: ApiRequest): Promise<Body> {
    const body = await this.#transport.requestJson<Body>(request);
    if (typeof body !== 'object' || body === null) throw invalidResponse('The response is no object.');
    return body;
  }
}
