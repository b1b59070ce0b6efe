import type * as S3Sdk from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import pRetry from 'p-retry';
import { abortError } from '../../errors/index.ts';
import { memoizeAsync } from '../../processes/memoize-async.ts';
import type { S3Settings } from '../artifact-store-settings.ts';
import { createS3Client } from './s3-client.ts';
import { isMissing, isTransient, storeError, toStoreError } from './s3-errors.ts';

/** Limits of requests to the object store. */
export interface S3Limits {
  /** For an answer, without the content that is sent or received. */
  readonly responseTimeoutMs: number;
  /** Lowest rate of content; a request that sends or receives less is repeated. */
  readonly minBytesPerSecond: number;
  /** Including the first. */
  readonly tries: number;
  /** Before the second try; doubles with each further one. */
  readonly pauseMs: number;
}

const defaultLimits: S3Limits = Object.freeze({
  responseTimeoutMs: 20_000,
  minBytesPerSecond: 65_536,
  tries: 5,
  pauseMs: 250,
});

type Call<Answer> = (sdk: typeof S3Sdk, client: S3Client, signal: AbortSignal) => Promise<Answer>;

interface RequestOptions {
  /** Bytes that the request sends, or that the server works on before it answers. */
  readonly contentBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends requests to an object store: each has a time limit, is repeated within limits, and throws a `StorageError`, or
 * the reason of its signal. The SDK is loaded by the first request.
 */
export class S3Requests {
  readonly limits: S3Limits;
  readonly load: () => Promise<{ readonly sdk: typeof S3Sdk; readonly client: S3Client }>;
  readonly #url: string;

  /** `url` is that of the bucket, for messages. */
  constructor(settings: S3Settings, url: string, limits: Partial<S3Limits>) {
    this.#url = url;
    this.limits = { ...defaultLimits, ...limits };
    this.load = memoizeAsync(async () => {
      const sdk = await import('@aws-sdk/client-s3');
      return { sdk, client: createS3Client(sdk, settings) };
    });
  }

  /** Runs a request, and repeats it within the limits. */
  async send<Answer>(call: Call<Answer>, { contentBytes = 0, signal }: RequestOptions = {}): Promise<Answer> {
    const { sdk, client } = await this.load();
    const { responseTimeoutMs, minBytesPerSecond, tries, pauseMs } = this.limits;
    const limitMs = responseTimeoutMs + (contentBytes / minBytesPerSecond) * 1_000;
    const send = async (): Promise<Answer> => {
      // Not `AbortSignal.timeout`, which would also end the content of an answer, long after it has begun.
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(), limitMs);
      try {
        return await call(sdk, client, signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal);
      } catch (error) {
        if (signal?.aborted) throw abortError(signal);
        throw timeout.signal.aborted ? storeError('store_timeout', this.#url, error) : toStoreError(error, this.#url);
      } finally {
        clearTimeout(timer);
      }
    };
    try {
      return await pRetry(send, {
        retries: tries - 1,
        minTimeout: pauseMs,
        randomize: true,
        shouldRetry: ({ error }) => isTransient(error),
        ...(signal && { signal }),
      });
    } catch (error) {
      throw signal?.aborted ? abortError(signal) : error;
    }
  }

  /** As `send`, but undefined for a missing object or upload. */
  async find<Answer>(call: Call<Answer>, options: RequestOptions = {}): Promise<Answer | undefined> {
    try {
      return await this.send(call, options);
    } catch (error) {
      if (error instanceof Error && isMissing(error.cause)) return undefined;
      throw error;
    }
  }
}
