import { HeygenError } from './heygen-errors.ts';
import type { HeygenHttp } from './heygen-http.ts';
import type { HeygenMode } from './heygen-options.ts';
import {
  assetSchema,
  bulkStatusesSchema,
  createdSchema,
  directUploadSchema,
  lipsyncPageSchema,
  lipsyncSchema,
  parseData,
  type DirectUpload,
  type LipsyncPage,
  type LipsyncReading,
} from './heygen-wire.ts';

export interface CallTimeouts {
  /** Reads and deletions. */
  readonly readMs: number;
  /** Creations, which can take half a minute. */
  readonly writeMs: number;
  /** Uploads and downloads of files. */
  readonly transferMs: number;
}

export interface NewLipsync {
  readonly videoAssetId: string;
  readonly audioAssetId: string;
  readonly mode: HeygenMode;
  readonly title: string;
  readonly callbackId: string;
  /** HeyGen calls it when the operation ends; null for none. */
  readonly callbackUrl: string | null;
  readonly idempotencyKey: string;
}

export interface NewDirectUpload {
  readonly filename: string;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** In hex. */
  readonly sha256: string;
  readonly idempotencyKey: string;
}

const pageSize = 100;

/** The API calls that the provider uses. All of them throw as `HeygenHttp` does. */
export class HeygenClient {
  readonly #http: HeygenHttp;
  readonly #timeouts: CallTimeouts;

  constructor(http: HeygenHttp, timeouts: CallTimeouts) {
    this.#http = http;
    this.#timeouts = timeouts;
  }

  /** Returns the asset id. */
  async uploadAsset(
    { form, idempotencyKey }: { readonly form: FormData; readonly idempotencyKey: string },
    signal: AbortSignal,
  ): Promise<string> {
    const data = await this.#http.call({
      method: 'POST',
      path: '/v3/assets',
      body: form,
      idempotencyKey,
      timeoutMs: this.#timeouts.transferMs,
      signal,
    });
    return parseData(assetSchema, data, 'an upload');
  }

  /** Requests a URL for a direct upload to HeyGen's storage. */
  async createDirectUpload(upload: NewDirectUpload, signal: AbortSignal): Promise<DirectUpload> {
    const { filename, contentType, sizeBytes, sha256, idempotencyKey } = upload;
    const data = await this.#http.call({
      method: 'POST',
      path: '/v3/assets/direct-uploads',
      body: { filename, content_type: contentType, size_bytes: sizeBytes, checksum_sha256: sha256 },
      idempotencyKey,
      timeoutMs: this.#timeouts.writeMs,
      signal,
    });
    return parseData(directUploadSchema, data, 'a direct upload');
  }

  /** Throws `rate_limited` with status 409 while HeyGen does not see the uploaded bytes. */
  async completeDirectUpload(assetId: string, signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#timeouts.writeMs;
    await this.#http.call({ method: 'POST', path: `/v3/assets/${assetId}/complete`, body: {}, timeoutMs, signal });
  }

  /** Starts an operation and returns its id. The same idempotency key returns the same operation. */
  async createLipsync(lipsync: NewLipsync, signal: AbortSignal): Promise<string> {
    const { videoAssetId, audioAssetId, mode, title, callbackId, callbackUrl, idempotencyKey } = lipsync;
    const data = await this.#http.call({
      method: 'POST',
      path: '/v3/lipsyncs',
      body: {
        video: { type: 'asset_id', asset_id: videoAssetId },
        audio: { type: 'asset_id', asset_id: audioAssetId },
        mode,
        title,
        callback_id: callbackId,
        ...(callbackUrl !== null && { callback_url: callbackUrl }),
        keep_the_same_format: true,
        // The sound of the uploaded clip is the speech itself, so music in it must not be mixed in a second time.
        disable_music_track: true,
      },
      idempotencyKey,
      // A response that contains an operation id has started that operation, even beside an error.
      acceptsData: (created) => createdSchema.safeParse(created).success,
      timeoutMs: this.#timeouts.writeMs,
      signal,
    });
    return parseData(createdSchema, data, 'a new lip-sync');
  }

  /** Lists a page of the account's operations; the token of the first page is null. */
  async listLipsyncs(token: string | null, signal: AbortSignal): Promise<LipsyncPage> {
    const page = await this.#http.callForPage({
      method: 'GET',
      path: '/v3/lipsyncs',
      query: { limit: String(pageSize), ...(token !== null && { token }) },
      timeoutMs: this.#timeouts.readMs,
      signal,
    });
    return parseData(lipsyncPageSchema, page, 'a list of lip-syncs');
  }

  /** Returns null when HeyGen does not find the operation. */
  async readLipsync(id: string, signal: AbortSignal): Promise<LipsyncReading | null> {
    const timeoutMs = this.#timeouts.readMs;
    const reading = this.#http.call({ method: 'GET', path: `/v3/lipsyncs/${id}`, timeoutMs, signal });
    return nullIfNotFound(reading.then((data) => parseData(lipsyncSchema, data, 'a read of a lip-sync')));
  }

  /** Whether the bulk status route, which has its own read model, does not find the operation either. */
  async isUnknownInBulk(id: string, signal: AbortSignal): Promise<boolean> {
    const data = await this.#http.call({
      method: 'GET',
      path: '/v3/lipsyncs/statuses',
      query: { lipsync_ids: id },
      timeoutMs: this.#timeouts.readMs,
      signal,
    });
    const statuses = parseData(bulkStatusesSchema, data, 'a read of lip-sync statuses');
    return statuses.every(({ status }) => status === 'not_found');
  }

  /** Deletes an operation. Succeeds when it does not exist. */
  async deleteLipsync(id: string, signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#timeouts.readMs;
    await nullIfNotFound(this.#http.call({ method: 'DELETE', path: `/v3/lipsyncs/${id}`, timeoutMs, signal }));
  }

  /** Deletes an uploaded file. Succeeds when it does not exist. */
  async deleteAsset(id: string, signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#timeouts.readMs;
    await nullIfNotFound(this.#http.call({ method: 'DELETE', path: `/v3/assets/${id}`, timeoutMs, signal }));
  }
}

async function nullIfNotFound<Result>(call: Promise<Result>): Promise<Result | null> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof HeygenError && error.httpStatus === 404) return null;
    throw error;
  }
}
