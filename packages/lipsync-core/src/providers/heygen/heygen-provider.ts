import pRetry from 'p-retry';
import { z } from 'zod';
import type { Clock } from '../../contract/ports.ts';
import type { Operation, OperationRequest } from '../../contract/provider-types.ts';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { probeTake } from '../../media/index.ts';
import { GuardedClient, type AllowedPrivateHosts } from '../../net/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import type { OperationStatus, ProviderFacts, RemoteProvider, Take, TakeContext, TakeRequest } from '../provider.ts';
import { chargedMicros, quotedMicros } from './heygen-account.ts';
import { HeygenClient, type CallTimeouts } from './heygen-client.ts';
import { downloadTake, TakeDownloadError, type DownloadOptions } from './heygen-download.ts';
import { cleanVendorText, HeygenError, toFailureCode } from './heygen-errors.ts';
import { HeygenHttp, parseHeygenEndpoint } from './heygen-http.ts';
import { prepareInputs } from './heygen-inputs.ts';
import { heygenModes, modeOf, type HeygenMode } from './heygen-options.ts';
import { findLipsync } from './heygen-search.ts';
import { uploadFile, type UploadOptions } from './heygen-upload.ts';
import { costWarning, formatWarnings } from './heygen-warnings.ts';
import type { LipsyncReading } from './heygen-wire.ts';

export const heygenFacts: ProviderFacts = { id: 'heygen', degraded: false };

/** Limits that only tests change. */
export interface HeygenLimits extends CallTimeouts {
  /** Larger files are uploaded directly to HeyGen's storage. */
  readonly simpleUploadMaxBytes: number;
  readonly maxDownloadBytes: number;
  /** Longest pause of the server during a download. */
  readonly idleMs: number;
  /** Pause before the first retry of a single call. */
  readonly retryPauseMs: number;
  /** A younger operation may be missing from HeyGen's read models. */
  readonly freshMs: number;
}

export interface HeygenProviderOptions {
  readonly apiKey: string;
  /** Parsed by `parseHeygenEndpoint`. */
  readonly endpoint: string;
  /** Limit of simultaneous operations over all machines. */
  readonly maxConcurrent: number;
  readonly timeoutMs: number;
  readonly pollIntervalMs: number;
  /** Price per second of output in millionths of a dollar. */
  readonly microsPerSecond: Readonly<Record<HeygenMode, number>>;
  /** Renders clips that do not fit the timeline. */
  readonly renderPool: RenderPool;
  readonly clock: Clock;
  /** Private hosts that links to takes may point to. The origin of the endpoint is always allowed. */
  readonly allowedPrivateHosts?: AllowedPrivateHosts | undefined;
  /** Returns the URL that HeyGen calls when the operation of an idempotency key ends. A call only triggers a check. */
  readonly callbackUrl?: ((idempotencyKey: string) => string) | undefined;
  readonly limits?: Partial<HeygenLimits>;
}

const mebibyte = 1024 ** 2;

const defaultLimits: HeygenLimits = Object.freeze({
  readMs: 30_000,
  writeMs: 120_000,
  transferMs: 600_000,
  simpleUploadMaxBytes: 32 * mebibyte,
  maxDownloadBytes: 4096 * mebibyte,
  idleMs: 60_000,
  retryPauseMs: 500,
  freshMs: 60_000,
});

/** HeyGen stores idempotency keys for 24 hours; one hour is a margin for clock differences. */
const requestLifetimeMs = 23 * 3_600_000;

/** A failed download is retried with a new link. */
const downloadRetries = 2;

const priceFields = {
  mode: z.enum(heygenModes),
  /** Used as the cost if HeyGen omits the duration of the output. */
  quotedMicros: z.int().nonnegative(),
};
/** Stored state of an operation. */
const operationSchema = z.object({
  ...priceFields,
  startedAtMs: z.number(),
  isCostEstimated: z.boolean().optional(),
});
/** Stored state of a request: what creates the operation, and what finds it again. */
const requestSchema = z.object({
  ...priceFields,
  jobId: z.string(),
  videoAssetId: z.string(),
  audioAssetId: z.string(),
  madeAtMs: z.number(),
});

/**
 * HeyGen's lip-sync over its v3 API: fits clip and speech to the timeline, uploads them, creates the operation under
 * the attempt's idempotency key, polls it, and downloads and probes its video.
 */
export class HeygenProvider implements RemoteProvider {
  readonly kind = 'remote';
  readonly facts = heygenFacts;
  readonly maxConcurrent: number;
  readonly timeoutMs: number;
  readonly requestLifetimeMs = requestLifetimeMs;
  readonly #options: HeygenProviderOptions;
  readonly #limits: HeygenLimits;
  readonly #client: HeygenClient;
  readonly #upload: UploadOptions;
  readonly #download: DownloadOptions;

  /** Throws `request_invalid` for an invalid endpoint or key. */
  constructor(options: HeygenProviderOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    const { apiKey, allowedPrivateHosts } = options;
    const { url: endpointUrl } = parseHeygenEndpoint(options.endpoint);
    if (!/^[\x21-\x7e]+$/.test(apiKey))
      throw new LipsyncError(
        'request_invalid',
        'HEYGEN_API_KEY must be printable ASCII without spaces. Check the key.',
      );
    const guardedClient = new GuardedClient({ allowedPrivateHosts, trustedOrigin: new URL(endpointUrl).origin });
    const client = new HeygenClient(new HeygenHttp({ endpointUrl, apiKey }), limits);
    this.maxConcurrent = options.maxConcurrent;
    this.timeoutMs = options.timeoutMs;
    this.#options = options;
    this.#limits = limits;
    this.#client = client;
    this.#upload = {
      client,
      guardedClient,
      simpleUploadMaxBytes: limits.simpleUploadMaxBytes,
      transferTimeoutMs: limits.transferMs,
      retryPauseMs: limits.retryPauseMs,
    };
    this.#download = {
      guardedClient,
      maxBytes: limits.maxDownloadBytes,
      timeoutMs: limits.transferMs,
      idleTimeoutMs: limits.idleMs,
    };
  }

  quote(request: TakeRequest): number {
    return quotedMicros(request.timeline.durationMs, this.#options.microsPerSecond[modeOf(request)]);
  }

  async prepareRequest(
    request: TakeRequest,
    context: Parameters<RemoteProvider['prepareRequest']>[1],
  ): Promise<OperationRequest> {
    const { signal, idempotencyKey, replaced, onProgress } = context;
    // The keys of the replaced request belong to assets that HeyGen has deleted.
    const uploadKey = replaced ? `${idempotencyKey}-again` : idempotencyKey;
    await using inputs = await prepareInputs(request, context, this.#options.renderPool);
    onProgress({ stage: 'uploading', fraction: 0 });
    const videoAssetId = await uploadFile(
      { path: inputs.clipPath, name: 'clip.mp4', contentType: 'video/mp4', idempotencyKey: `${uploadKey}-clip` },
      this.#upload,
      signal,
    );
    onProgress({ stage: 'uploading', fraction: 0.9 });
    const audioAssetId = await uploadFile(
      { path: inputs.speechPath, name: 'speech.wav', contentType: 'audio/wav', idempotencyKey: `${uploadKey}-speech` },
      this.#upload,
      signal,
    );
    const { jobId } = request;
    const mode = modeOf(request);
    const madeAtMs = this.#options.clock.nowMs();
    const state = { mode, quotedMicros: this.quote(request), jobId, videoAssetId, audioAssetId, madeAtMs };
    return { idempotencyKey, state };
  }

  async start(request: OperationRequest, { signal }: TakeContext): Promise<Operation> {
    const { jobId, mode, quotedMicros: quoted, videoAssetId, audioAssetId } = parseState(requestSchema, request.state);
    const { idempotencyKey } = request;
    const callbackUrl = this.#options.callbackUrl?.(idempotencyKey) ?? null;
    const assets = { videoAssetId, audioAssetId };
    const names = { title: titleOf(jobId), callbackId: jobId, callbackUrl, idempotencyKey };
    try {
      const id = await this.#client.createLipsync({ ...assets, mode, ...names }, signal);
      return { id, state: { mode, quotedMicros: quoted, startedAtMs: this.#options.clock.nowMs() } };
    } catch (error) {
      throw error instanceof HeygenError && error.httpStatus === 404 ? toExpired(error) : error;
    }
  }

  async find(
    request: OperationRequest,
    { signal, sinceMs }: Parameters<RemoteProvider['find']>[1],
  ): Promise<Operation | null> {
    const { jobId, mode, quotedMicros: quoted, madeAtMs } = parseState(requestSchema, request.state);
    const createdAfterMs = Math.min(madeAtMs, sinceMs);
    const search = { callbackId: jobId, title: titleOf(jobId), createdAfterMs };
    const id = await findLipsync(this.#client, search, signal);
    if (id === null) return null;
    return { id, state: { mode, quotedMicros: quoted, startedAtMs: this.#options.clock.nowMs() } };
  }

  async check(operation: Operation, { signal }: TakeContext): Promise<OperationStatus> {
    const { apiKey, pollIntervalMs } = this.#options;
    const reading = await this.#read(operation, signal);
    switch (reading.phase) {
      case 'pending':
        return { status: 'pending', checkAgainInMs: pollIntervalMs };
      case 'failed': {
        const message = cleanVendorText(reading.failureMessage ?? 'HeyGen gave no reason.', apiKey);
        return { status: 'failed', code: toFailureCode(message), message, costMicros: 0 };
      }
      case 'completed':
        return this.#toCompleted(reading, operation);
    }
  }

  async collect(
    operation: Operation,
    request: TakeRequest,
    { signal, onProgress }: TakeContext,
  ): Promise<Omit<Take, 'costMicros'>> {
    const { takePath, timeline, clip } = request;
    onProgress({ stage: 'downloading', fraction: 0 });
    try {
      await pRetry(() => this.#downloadOnce(operation, { takePath, durationMs: timeline.durationMs }, signal), {
        retries: downloadRetries,
        minTimeout: this.#limits.retryPauseMs,
        signal,
        shouldRetry: ({ error }) => error instanceof TakeDownloadError && error.isTransient,
      });
    } catch (error) {
      throw signal.aborted ? abortError(signal) : error;
    }
    const take = await probeTake(takePath, { signal });
    const { isCostEstimated } = parseState(operationSchema, operation.state);
    return { path: takePath, warnings: [...formatWarnings(take, clip), ...(isCostEstimated ? [costWarning] : [])] };
  }

  /** Reads the operation after its deletion, because it may have completed just before and is charged then. */
  async cancel(operation: Operation, { signal }: { readonly signal: AbortSignal }): Promise<number | null> {
    let deletionError: unknown = null;
    try {
      await this.#client.deleteLipsync(operation.id, signal);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      deletionError = error;
    }
    const reading = await this.#client.readLipsync(operation.id, signal);
    if (reading?.phase === 'completed') return this.#costOf(reading, operation);
    if (reading?.phase === 'failed') return 0;
    if (deletionError !== null) throw deletionError;
    return reading ? null : 0;
  }

  async deleteCopies(
    { operation, request }: Parameters<NonNullable<RemoteProvider['deleteCopies']>>[0],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    if (operation) await this.#client.deleteLipsync(operation.id, signal);
    if (!request) return;
    const { videoAssetId, audioAssetId } = parseState(requestSchema, request.state);
    for (const assetId of [videoAssetId, audioAssetId]) await this.#client.deleteAsset(assetId, signal);
  }

  #toCompleted(reading: LipsyncReading, operation: Operation): OperationStatus {
    const costMicros = this.#costOf(reading, operation);
    // The storage can lag behind: the operation is charged before its link exists.
    if (reading.videoUrl === null)
      return { status: 'pending', checkAgainInMs: this.#options.pollIntervalMs, billedMicros: costMicros };
    const isCostEstimated = reading.durationS === null;
    const done = isCostEstimated ? { ...operation, state: { ...operation.state, isCostEstimated } } : operation;
    return { status: 'done', operation: done, costMicros };
  }

  /**
   * Reads an operation. Throws `provider_unavailable` if it is not found but young or in the other read model, and
   * `provider_protocol` if HeyGen no longer has it.
   */
  async #read(operation: Operation, signal: AbortSignal): Promise<LipsyncReading> {
    const reading = await this.#client.readLipsync(operation.id, signal);
    if (reading) return reading;
    const { startedAtMs } = parseState(operationSchema, operation.state);
    const ageMs = this.#options.clock.nowMs() - startedAtMs;
    if (ageMs < this.#limits.freshMs || !(await this.#client.isUnknownInBulk(operation.id, signal)))
      throw new HeygenError(
        'provider_unavailable',
        'HeyGen does not find the operation at the moment. Try again later.',
      );
    throw new HeygenError(
      'provider_protocol',
      'HeyGen no longer has the operation. It was deleted, or HEYGEN_API_KEY now belongs to another account.',
    );
  }

  async #downloadOnce(
    operation: Operation,
    target: { readonly takePath: string; readonly durationMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { videoUrl } = await this.#read(operation, signal);
    if (videoUrl === null)
      throw new HeygenError('rate_limited', 'HeyGen has no link to the finished video yet.', {
        retryAfterMs: this.#options.pollIntervalMs,
      });
    await downloadTake({ url: videoUrl, ...target }, this.#download, signal);
  }

  #costOf({ durationS }: LipsyncReading, operation: Operation): number {
    const { mode, quotedMicros: quoted } = parseState(operationSchema, operation.state);
    return durationS === null ? quoted : chargedMicros(durationS, this.#options.microsPerSecond[mode]);
  }
}

function titleOf(jobId: string): string {
  return `Lipsync ${jobId}`;
}

/**
 * The request names assets that HeyGen has deleted. The outcome is unchanged: after a 404 with an error code such as
 * `internal_error`, an operation may exist.
 */
function toExpired(error: HeygenError): HeygenError {
  const { code, message, httpStatus, retryAfterMs, requestOutcome, details } = error;
  return new HeygenError(code, message, {
    httpStatus,
    retryAfterMs,
    requestOutcome,
    details,
    isRequestExpired: true,
    cause: error,
  });
}

function parseState<Schema extends z.ZodType>(schema: Schema, state: unknown): z.output<Schema> {
  const parsed = schema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new LipsyncError('internal', 'A stored HeyGen operation has an unknown format. Report this error.', {
    cause: parsed.error,
  });
}
