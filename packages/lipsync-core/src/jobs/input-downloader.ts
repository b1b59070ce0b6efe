import { Readable } from 'node:stream';
import pRetry from 'p-retry';
import { LipsyncError, toLipsyncError, type ErrorCode } from '../errors/index.ts';
import { allowTrustedOrigin, GuardedClient, RequestError, type AllowedPrivateHosts } from '../net/index.ts';
import { decideRetry, downloadPauseMs, maxDownloadTries } from '../providers/retry-policy.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import type { S3InputSettings } from '../storage/artifact-store-settings.ts';
import { isS3Url, signS3Url } from '../storage/s3/s3-inputs.ts';
import { refuseTextFile } from './text-file.ts';
import { sourceName } from './source-name.ts';
import type { InputField, InputReference } from './job-record.ts';

export interface InputDownloaderOptions {
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  /** The buckets of `s3://` URLs; null or absent for none. */
  readonly s3Inputs?: S3InputSettings | null;
  /** A source that sends less, averaged over half a minute, is given up. */
  readonly minBytesPerSecond: number;
  readonly limits?: Partial<DownloadLimits>;
}

/** Limits of one try. Together with the minimum rate they bound how long a slow source occupies a fetch. */
interface DownloadLimits {
  readonly timeoutMs: number;
  /** Until the headers of the response arrive. */
  readonly responseTimeoutMs: number;
  /** Longest silence, and the time over which the rate is averaged. */
  readonly rateWindowMs: number;
  readonly retryPauseMs: number;
}

const defaultLimits: DownloadLimits = Object.freeze({
  timeoutMs: 15 * 60_000,
  responseTimeoutMs: 15_000,
  rateWindowMs: 30_000,
  retryPauseMs: downloadPauseMs,
});

export interface DownloadRequest {
  readonly field: InputField;
  readonly url: string;
  /** Path of the partial file, in a folder that is cleaned up after a crash. */
  readonly partPath: string;
}

export type StoredInput = Extract<InputReference, { kind: 'artifact' }>;

/** Codes of failures that the source or its URL causes: their messages name the source. */
const sourceFailures: ReadonlySet<ErrorCode> = new Set([
  'request_invalid',
  'url_forbidden',
  'fetch_failed',
  'fetch_timeout',
  'payload_too_large',
  'clip_unusable',
  'speech_unusable',
]);

/** Downloads inputs from untrusted URLs into the artifact store. */
export class InputDownloader {
  readonly #options: InputDownloaderOptions;
  readonly #limits: DownloadLimits;
  readonly #client: GuardedClient;

  constructor(options: InputDownloaderOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#client = new GuardedClient({ allowedPrivateHosts: options.allowedPrivateHosts });
  }

  /**
   * Downloads one input, and repeats the download as the retry policy decides. Throws `request_invalid`,
   * `url_forbidden`, `fetch_failed`, `fetch_timeout`, `payload_too_large`, `clip_unusable` or `speech_unusable` for a web
   * page, and `resource_exhausted`. Messages name the request field and the host, never the rest of the URL, which may
   * be a secret.
   */
  async download(request: DownloadRequest, signal: AbortSignal): Promise<StoredInput> {
    try {
      return await pRetry(() => this.#tryDownload(request, signal), {
        retries: maxDownloadTries - 1,
        minTimeout: this.#limits.retryPauseMs,
        signal,
        shouldRetry: ({ error, attemptNumber }) =>
          decideRetry({ type: 'input_download' }, toLipsyncError(error), { failures: attemptNumber }).type === 'retry',
      });
    } catch (error) {
      throw nameSource(error, request);
    }
  }

  async #tryDownload({ field, url, partPath }: DownloadRequest, signal: AbortSignal): Promise<StoredInput> {
    const { artifacts, maxBytes, minBytesPerSecond } = this.#options;
    const { timeoutMs, responseTimeoutMs, rateWindowMs } = this.#limits;
    const { source, client } = await this.#resolve(url);
    const response = await client.download(source, {
      maxResponseBytes: maxBytes,
      timeoutMs,
      responseTimeoutMs,
      idleTimeoutMs: rateWindowMs,
      minRate: { bytesPerSecond: minBytesPerSecond, windowMs: rateWindowMs },
      signal,
    });
    try {
      const content = Readable.from(refuseTextFile(response, { field, url: source }), { objectMode: false });
      const { key } = await artifacts.putInput(content, { maxBytes, signal, partPath });
      return { kind: 'artifact', key, name: sourceName(source, response, field) };
    } finally {
      response.body.destroy();
    }
  }

  /** An object of a bucket is read by a signed URL. Its server is one that the operator has set. */
  async #resolve(url: string): Promise<{ readonly source: string; readonly client: GuardedClient }> {
    if (!isS3Url(url)) return { source: url, client: this.#client };
    const { allowedPrivateHosts, s3Inputs = null } = this.#options;
    const source = await signS3Url(url, s3Inputs);
    const origin = s3Inputs?.connection.endpoint === null ? undefined : new URL(source).origin;
    const client = new GuardedClient({ allowedPrivateHosts: allowTrustedOrigin(allowedPrivateHosts, source, origin) });
    return { source, client };
  }
}

function nameSource(thrown: unknown, { field, url }: DownloadRequest): unknown {
  if (!LipsyncError.isInstance(thrown) || !sourceFailures.has(thrown.code)) return thrown;
  const host = URL.parse(url)?.host || 'a URL without a host';
  const text = thrown instanceof RequestError ? thrown.explanation : thrown.message;
  return new LipsyncError(thrown.code, `${field}_url (${host}): ${text}`, { cause: thrown, details: thrown.details });
}
