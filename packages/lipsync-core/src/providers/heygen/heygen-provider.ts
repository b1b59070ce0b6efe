import { z } from 'zod';
import pRetry from 'p-retry';
import { abortError, LipsyncError, ProviderError } from '../../errors/index.ts';
import { GuardedClient, type AllowedPrivateHosts } from '../../net/index.ts';
import { framesPerSecond, probeTake, type ClipFacts, type TakeFacts } from '../../media/index.ts';
import type { Clock } from '../../contract/ports.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import type { OperationStatus, ProviderFacts, RemoteProvider, Take, TakeContext, TakeRequest } from '../provider.ts';
import { createHeygenClient, type CallLimits, type HeygenClient } from './heygen-client.ts';
import { downloadTake, TakeDownloadError, type DownloadOptions } from './heygen-download.ts';
import { parseHeygenEndpoint } from './heygen-endpoint.ts';
import { cleanVendorText, failureCode } from './heygen-errors.ts';
import { createHeygenHttp } from './heygen-http.ts';
import { makeInputs } from './heygen-inputs.ts';
import { heygenModes, modeOf, type HeygenMode } from './heygen-options.ts';
import { billedMicros, quotedMicros } from './heygen-prices.ts';
import { findLipsync } from './heygen-search.ts';
import { uploadFile, type UploadOptions } from './heygen-upload.ts';
import type { LipsyncReading } from './heygen-wire.ts';
import type { Operation, OperationRequest, Warning } from '../../contract/provider-types.ts';

export const heygenFacts: ProviderFacts = { id: 'heygen', degraded: false };

/** Bounds that an installation has no reason to change. */
export interface HeygenLimits extends CallLimits {
  /** Larger files go straight to the vendor's storage. */
  readonly simpleUploadMaxBytes: number;
  readonly maxDownloadBytes: number;
  /** How long a download may stand still. */
  readonly idleMs: number;
  /** Before a call that is repeated by itself is repeated for the first time. */
  readonly retryPauseMs: number;
  /** An operation that is younger may not be known everywhere yet. */
  readonly freshMs: number;
}

export interface HeygenProviderOptions {
  readonly apiKey: string;
  /** Read by `parseHeygenEndpoint`. */
  readonly endpoint: string;
  /** Operations at once, over all machines. */
  readonly maxConcurrent: number;
  readonly timeoutMs: number;
  readonly pollIntervalMs: number;
  /** Prices per second of output, in millionths of a dollar. */
  readonly microsPerSecond: Readonly<Record<HeygenMode, number>>;
  /** Where clips are laid along their timeline. */
  readonly renderPool: RenderPool;
  readonly clock: Clock;
  /** Hosts that links to finished takes may lead to although they are private; the endpoint's own origin always may. */
  readonly allowedPrivateHosts?: AllowedPrivateHosts | undefined;
  /** Where HeyGen is to say that the operation with this idempotency key has ended, which is no more than a hint to ask. */
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

/** HeyGen knows an idempotency key for a day; an hour of it is for clocks that differ. */
const requestLifetimeMs = 23 * 3_600_000;

const billingShape = {
  mode: z.enum(heygenModes),
  /** The bill of last resort, where HeyGen does not say how long its output is. */
  quotedMicros: z.int().nonnegative(),
};

/** What we must know of an operation of ours; nothing in it expires. */
const stateSchema = z.object({ ...billingShape, startedAtMs: z.number(), isCostEstimated: z.boolean().optional() });

/** What an operation is created from, and found again by. */
const orderSchema = z.object({
  ...billingShape,
  jobId: z.string(),
  videoAssetId: z.string(),
  audioAssetId: z.string(),
  madeAtMs: z.number(),
});

interface Parts {
  readonly options: HeygenProviderOptions;
  readonly limits: HeygenLimits;
  readonly client: HeygenClient;
  readonly upload: UploadOptions;
  readonly download: DownloadOptions;
}

/**
 * HeyGen's lip-sync over its v3 API: clip and speech are made to fit and uploaded, the operation is created with the
 * attempt's idempotency key, asked for, and its video fetched and looked through. Throws `request_invalid` for an
 * endpoint or a key that is none.
 */
export function createHeygenProvider(options: HeygenProviderOptions): RemoteProvider {
  const parts = assemble(options);
  return {
    kind: 'remote',
    facts: heygenFacts,
    maxConcurrent: options.maxConcurrent,
    timeoutMs: options.timeoutMs,
    requestLifetimeMs,
    quote: (request) => quote(request, options),
    prepareRequest: (request, context) => makeOrder(parts, request, context),
    start: (order, context) => start(parts, order, context),
    find: (order, context) => find(parts, order, context),
    check: (operation, context) => check(parts, operation, context),
    collect: (operation, request, context) => collect(parts, operation, request, context),
    cancel: (operation, context) => cancel(parts, operation, context),
  };
}

function assemble(options: HeygenProviderOptions): Parts {
  const limits = { ...defaultLimits, ...options.limits };
  const { url: endpointUrl } = parseHeygenEndpoint(options.endpoint);
  if (!/^[\x21-\x7e]+$/.test(options.apiKey))
    throw new LipsyncError(
      'request_invalid',
      'HEYGEN_API_KEY must be plain letters, digits and signs, without blanks.',
    );
  const { allowedPrivateHosts } = options;
  const guardedClient = new GuardedClient({ allowedPrivateHosts, trustedOrigin: new URL(endpointUrl).origin });
  const client = createHeygenClient(createHeygenHttp({ endpointUrl, apiKey: options.apiKey }), limits);
  return {
    options,
    limits,
    client,
    upload: {
      client,
      guardedClient,
      simpleUploadMaxBytes: limits.simpleUploadMaxBytes,
      transferMs: limits.transferMs,
      retryPauseMs: limits.retryPauseMs,
    },
    download: {
      guardedClient,
      maxBytes: limits.maxDownloadBytes,
      timeoutMs: limits.transferMs,
      idleTimeoutMs: limits.idleMs,
    },
  };
}

function quote(request: TakeRequest, { microsPerSecond }: HeygenProviderOptions): number {
  return quotedMicros(request.timeline.durationMs, microsPerSecond[modeOf(request)]);
}

async function makeOrder(
  { options, upload }: Parts,
  request: TakeRequest,
  context: Parameters<RemoteProvider['prepareRequest']>[1],
): Promise<OperationRequest> {
  const { signal, idempotencyKey, replaced, onProgress } = context;
  // The keys of before stand for files that HeyGen has no more.
  const uploadKey = replaced ? `${idempotencyKey}-again` : idempotencyKey;
  await using inputs = await makeInputs(request, context, options.renderPool);
  onProgress({ stage: 'uploading', fraction: 0 });
  const videoAssetId = await uploadFile(
    { path: inputs.clipPath, name: 'clip.mp4', contentType: 'video/mp4', idempotencyKey: `${uploadKey}-clip` },
    upload,
    signal,
  );
  onProgress({ stage: 'uploading', fraction: 0.9 });
  const audioAssetId = await uploadFile(
    { path: inputs.speechPath, name: 'speech.wav', contentType: 'audio/wav', idempotencyKey: `${uploadKey}-speech` },
    upload,
    signal,
  );
  return {
    idempotencyKey,
    state: {
      mode: modeOf(request),
      quotedMicros: quote(request, options),
      jobId: request.jobId,
      videoAssetId,
      audioAssetId,
      madeAtMs: options.clock.nowMs(),
    },
  };
}

async function start({ options, client }: Parts, order: OperationRequest, { signal }: TakeContext): Promise<Operation> {
  const { jobId, mode, quotedMicros, videoAssetId, audioAssetId } = contentsOf(order);
  const callbackUrl = options.callbackUrl?.(order.idempotencyKey) ?? null;
  try {
    const id = await client.createLipsync(
      {
        videoAssetId,
        audioAssetId,
        mode,
        title: titleOf(jobId),
        callbackId: jobId,
        callbackUrl,
        idempotencyKey: order.idempotencyKey,
      },
      signal,
    );
    return { id, state: { mode, quotedMicros, startedAtMs: options.clock.nowMs() } };
  } catch (error) {
    if (!(error instanceof ProviderError) || error.httpStatus !== 404) throw error;
    const { code, message, provider, httpStatus, retryAfterMs, details } = error;
    throw new ProviderError(code, message, {
      ...(provider !== null && { provider }),
      httpStatus,
      retryAfterMs,
      requestOutcome: 'expired',
      details,
      cause: error,
    });
  }
}

function titleOf(jobId: string): string {
  return `Lipsync ${jobId}`;
}

async function find(
  { client, options }: Parts,
  order: OperationRequest,
  { signal, sinceMs }: Parameters<RemoteProvider['find']>[1],
): Promise<Operation | null> {
  const { jobId, mode, quotedMicros, madeAtMs } = contentsOf(order);
  const id = await findLipsync(
    client,
    { callbackId: jobId, title: titleOf(jobId), notBeforeMs: Math.min(madeAtMs, sinceMs) },
    signal,
  );
  return id === null ? null : { id, state: { mode, quotedMicros, startedAtMs: options.clock.nowMs() } };
}

/** It may be done between the last look and now: what can still be read says what it is billed. */
async function cancel(
  { client, options }: Parts,
  operation: Operation,
  { signal }: { readonly signal: AbortSignal },
): Promise<number | null> {
  const refusal = await client.deleteLipsync(operation.id, signal).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  if (signal.aborted) throw abortError(signal);
  const reading = await client.readLipsync(operation.id, signal);
  if (reading?.phase === 'completed') return bill(reading, operation, options);
  if (reading?.phase === 'failed') return 0;
  if (refusal) throw refusal.error;
  return reading ? null : 0;
}

async function check(parts: Parts, operation: Operation, { signal }: TakeContext): Promise<OperationStatus> {
  const reading = await read(parts, operation, signal);
  switch (reading.phase) {
    case 'pending':
      return { status: 'pending', checkAgainInMs: parts.options.pollIntervalMs };
    case 'failed': {
      const message = cleanVendorText(reading.failureMessage ?? 'HeyGen gave no reason.', parts.options.apiKey);
      return { status: 'failed', code: failureCode(message), message, costMicros: 0 };
    }
    case 'completed':
      return completed(reading, operation, parts.options);
  }
}

function completed(reading: LipsyncReading, operation: Operation, options: HeygenProviderOptions): OperationStatus {
  const billedMicros = bill(reading, operation, options);
  // Seen where the storage lags behind: the link comes later, the bill has come.
  if (reading.videoUrl === null) return { status: 'pending', checkAgainInMs: options.pollIntervalMs, billedMicros };
  const done =
    reading.durationS === null ? { ...operation, state: { ...operation.state, isCostEstimated: true } } : operation;
  return { status: 'done', operation: done, costMicros: billedMicros };
}

/**
 * Throws `provider_protocol` for an operation that HeyGen has forgotten. One that is young, or that its other read model
 * still knows, only cannot be read just now: that is `provider_unavailable`.
 */
async function read(
  { client, options, limits }: Parts,
  operation: Operation,
  signal: AbortSignal,
): Promise<LipsyncReading> {
  const reading = await client.readLipsync(operation.id, signal);
  if (reading) return reading;
  const ageMs = options.clock.nowMs() - stateOf(operation).startedAtMs;
  if (ageMs < limits.freshMs || !(await client.isUnknownInBulk(operation.id, signal))) {
    throw new LipsyncError('provider_unavailable', 'HeyGen does not find the operation just now.');
  }
  throw new LipsyncError(
    'provider_protocol',
    'HeyGen has forgotten the operation: somebody deleted it there, or the API key is of another account than it was.',
  );
}

function bill({ durationS }: LipsyncReading, operation: Operation, options: HeygenProviderOptions): number {
  const state = stateOf(operation);
  return durationS === null ? state.quotedMicros : billedMicros(durationS, options.microsPerSecond[state.mode]);
}

function stateOf({ state }: Operation): z.output<typeof stateSchema> {
  return parseStored(stateSchema, state);
}

function contentsOf({ state }: OperationRequest): z.output<typeof orderSchema> {
  return parseStored(orderSchema, state);
}

function parseStored<Schema extends z.ZodType>(schema: Schema, state: unknown): z.output<Schema> {
  const parsed = schema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new LipsyncError(
    'internal',
    'A stored HeyGen operation is not of the form in which we store them. Report this.',
    { cause: parsed.error },
  );
}

/** Rates that differ by less are the same rate, written in another way. */
const sameRateShare = 0.005;

/** HeyGen is asked to keep the format; where it did not, whoever gets the take is told. */
function formatWarnings(take: TakeFacts, { width, height, frameRate }: ClipFacts): Warning[] {
  const [rate, takeRate] = [framesPerSecond(frameRate), framesPerSecond(take.frameRate)];
  if (take.width === width && take.height === height && Math.abs(takeRate / rate - 1) <= sameRateShare) return [];
  const shape = `${take.width} × ${take.height} at ${takeRate.toFixed(2)} frames per second instead of ${width} × ${height} at ${rate.toFixed(2)}`;
  return [{ code: 'format_changed', message: `HeyGen returned another format than the clip has: ${shape}.` }];
}

function costWarnings({ isCostEstimated }: z.output<typeof stateSchema>): Warning[] {
  if (!isCostEstimated) return [];
  return [
    {
      code: 'cost_estimated',
      message:
        'HeyGen does not say how long its video is, which is what it bills; the cost is what the job was expected to come to.',
    },
  ];
}

/** A broken line or an expired link, with another link each time. */
const downloadRetries = 2;

async function collect(
  parts: Parts,
  operation: Operation,
  request: TakeRequest,
  { signal, onProgress }: TakeContext,
): Promise<Omit<Take, 'costMicros'>> {
  const {
    takePath,
    timeline: { durationMs },
  } = request;
  onProgress({ stage: 'downloading', fraction: 0 });
  const fetchOnce = async (): Promise<void> => {
    const { videoUrl } = await read(parts, operation, signal);
    if (videoUrl === null)
      throw new ProviderError('rate_limited', 'HeyGen has no link to the finished video yet.', {
        provider: 'heygen',
        retryAfterMs: parts.options.pollIntervalMs,
      });
    await downloadTake({ url: videoUrl, takePath, durationMs }, parts.download, signal);
  };
  try {
    await pRetry(fetchOnce, {
      retries: downloadRetries,
      minTimeout: parts.limits.retryPauseMs,
      signal,
      shouldRetry: ({ error }) => error instanceof TakeDownloadError && error.isTransient,
    });
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  }
  const take = await probeTake(takePath, { signal });
  return { path: takePath, warnings: [...formatWarnings(take, request.clip), ...costWarnings(stateOf(operation))] };
}
