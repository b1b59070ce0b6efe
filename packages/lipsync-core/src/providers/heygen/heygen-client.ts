import { ProviderError } from '../../errors/index.ts';
import type { HeygenMode } from './heygen-options.ts';
import type { HeygenHttp } from './heygen-http.ts';
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

export interface CallLimits {
  /** Reading and deleting. */
  readonly readMs: number;
  /** Creating: slow ones were seen to take half a minute. */
  readonly writeMs: number;
  /** Sending or fetching a file. */
  readonly transferMs: number;
}

export interface CreateOrder {
  readonly videoAssetId: string;
  readonly audioAssetId: string;
  readonly mode: HeygenMode;
  readonly title: string;
  readonly callbackId: string;
  /** Called by HeyGen when the operation ends; null for nobody. */
  readonly callbackUrl: string | null;
  readonly idempotencyKey: string;
}

export interface DirectUploadOrder {
  readonly filename: string;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly idempotencyKey: string;
}

/** One function per call of the API that we use. All throw as `HeygenHttp` does. */
export interface HeygenClient {
  /** Returns the asset's id. */
  uploadAsset(
    order: { readonly form: FormData; readonly idempotencyKey: string },
    signal: AbortSignal,
  ): Promise<string>;
  orderDirectUpload(order: DirectUploadOrder, signal: AbortSignal): Promise<DirectUpload>;
  /** Throws `rate_limited` while the bytes are not seen yet. */
  completeDirectUpload(assetId: string, signal: AbortSignal): Promise<void>;
  /** Returns the operation's id; the same one for the same key. */
  createLipsync(order: CreateOrder, signal: AbortSignal): Promise<string>;
  /** A page of all operations of the account; `token` is null for the first one. */
  listLipsyncs(token: string | null, signal: AbortSignal): Promise<LipsyncPage>;
  /** Null when HeyGen knows no such operation. */
  readLipsync(id: string, signal: AbortSignal): Promise<LipsyncReading | null>;
  /** Whether the bulk route, a read model of its own, says that there is no such operation. */
  isUnknownInBulk(id: string, signal: AbortSignal): Promise<boolean>;
  /** Fine, too, when there is none. */
  deleteLipsync(id: string, signal: AbortSignal): Promise<void>;
}

const pageSize = 100;

export function createHeygenClient({ call, callForPage }: HeygenHttp, limits: CallLimits): HeygenClient {
  return {
    async uploadAsset({ form, idempotencyKey }, signal) {
      const data = await call({
        method: 'POST',
        path: '/v3/assets',
        body: form,
        idempotencyKey,
        limitMs: limits.transferMs,
        signal,
      });
      return parseData(assetSchema, data, 'an upload');
    },
    async orderDirectUpload({ filename, contentType, sizeBytes, sha256, idempotencyKey }, signal) {
      const body = { filename, content_type: contentType, size_bytes: sizeBytes, checksum_sha256: sha256 };
      const data = await call({
        method: 'POST',
        path: '/v3/assets/direct-uploads',
        body,
        idempotencyKey,
        limitMs: limits.writeMs,
        signal,
      });
      return parseData(directUploadSchema, data, 'the order of an upload');
    },
    async completeDirectUpload(assetId, signal) {
      await call({ method: 'POST', path: `/v3/assets/${assetId}/complete`, body: {}, limitMs: limits.writeMs, signal });
    },
    async createLipsync({ videoAssetId, audioAssetId, mode, title, callbackId, callbackUrl, idempotencyKey }, signal) {
      const body = {
        video: { type: 'asset_id', asset_id: videoAssetId },
        audio: { type: 'asset_id', asset_id: audioAssetId },
        mode,
        title,
        callback_id: callbackId,
        ...(callbackUrl === null ? {} : { callback_url: callbackUrl }),
        keep_the_same_format: true,
        // The clip that we send carries the speech as its sound; any music in that must not be mixed in once more.
        disable_music_track: true,
      };
      // An answer that names an operation has begun one.
      const isAnswered = (data: unknown): boolean => createdSchema.safeParse(data).success;
      return parseData(
        createdSchema,
        await call({
          method: 'POST',
          path: '/v3/lipsyncs',
          body,
          idempotencyKey,
          isAnswered,
          limitMs: limits.writeMs,
          signal,
        }),
        'a new lip-sync',
      );
    },
    async listLipsyncs(token, signal) {
      const query = { limit: String(pageSize), ...(token === null ? {} : { token }) };
      return parseData(
        lipsyncPageSchema,
        await callForPage({ method: 'GET', path: '/v3/lipsyncs', query, limitMs: limits.readMs, signal }),
        'a list of lip-syncs',
      );
    },
    async readLipsync(id, signal) {
      const reading = call({ method: 'GET', path: `/v3/lipsyncs/${id}`, limitMs: limits.readMs, signal });
      return orNull(reading.then((data) => parseData(lipsyncSchema, data, 'a question about a lip-sync')));
    },
    async isUnknownInBulk(id, signal) {
      const data = await call({
        method: 'GET',
        path: '/v3/lipsyncs/statuses',
        query: { lipsync_ids: id },
        limitMs: limits.readMs,
        signal,
      });
      return parseData(bulkStatusesSchema, data, 'a question about lip-syncs').every(
        ({ status }) => status === 'not_found',
      );
    },
    async deleteLipsync(id, signal) {
      await orNull(call({ method: 'DELETE', path: `/v3/lipsyncs/${id}`, limitMs: limits.readMs, signal }));
    },
  };
}

/** What is asked for, or null where HeyGen says that it is not there. */
async function orNull<Answer>(asking: Promise<Answer>): Promise<Answer | null> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof ProviderError && error.httpStatus === 404) return null;
    throw error;
  }
}
