import type * as S3Sdk from '@aws-sdk/client-s3';
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import pRetry from 'p-retry';
import { abortError } from '../../errors/index.ts';
import { memoizeAsync } from '../../processes/memoize-async.ts';
import type { ByteRange } from '../artifact-store.ts';
import type { S3Settings } from '../artifact-store-settings.ts';
import { closingWith, readBody } from './s3-body.ts';
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

/** An object as a listing names it. */
export interface ListedObject {
  /** Without the prefix of the settings. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

/** An upload in parts that has not ended. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly startedAtMs: number;
}

export interface SignedUrlOptions {
  readonly lifetimeMs: number;
  /** Headers of the answer, in place of those that were stored. */
  readonly contentType?: string;
  readonly contentDisposition?: string;
}

/** What the server answers about content that it has stored. */
export interface StoredContent {
  readonly etag: string;
  /** Whether the ETag proves that the server has these bytes: it is their MD5, unless the server encrypts with KMS. */
  readonly isVerified: boolean;
}

/** A part that the server has stored. */
export interface StoredPart extends StoredContent {
  readonly partNumber: number;
}

/** More objects than any prefix that is listed has. */
const maxListed = 100_000;

/**
 * Requests to one bucket: each has a time limit, is repeated within limits, and throws a `StorageError`. Keys are
 * relative to the prefix of the settings. The SDK is loaded by the first request.
 */
export class S3Bucket {
  readonly #settings: S3Settings;
  readonly #limits: S3Limits;
  readonly #load: () => Promise<{ readonly sdk: typeof S3Sdk; readonly client: S3Client }>;
  /** For messages. */
  readonly url: string;

  constructor(settings: S3Settings, limits: Partial<S3Limits> = {}) {
    this.#settings = settings;
    this.#limits = { ...defaultLimits, ...limits };
    this.url = `s3://${settings.bucket}/${settings.prefix}`;
    this.#load = memoizeAsync(async () => {
      const sdk = await import('@aws-sdk/client-s3');
      return { sdk, client: createS3Client(sdk, settings) };
    });
  }

  /** Stores content; undefined if `ifAbsent` and the server has the key. */
  async put(
    key: string,
    content: Buffer,
    { ifAbsent = false }: { readonly ifAbsent?: boolean } = {},
  ): Promise<StoredContent | undefined> {
    const md5 = md5Of(content);
    try {
      const { ETag } = await this.#send(content.byteLength, (sdk, client, abortSignal) =>
        client.send(
          new sdk.PutObjectCommand({
            ...this.#object(key),
            Body: content,
            ContentMD5: md5.toString('base64'),
            ...(ifAbsent && { IfNoneMatch: '*' }),
          }),
          { abortSignal },
        ),
      );
      return toStoredContent(ETag, md5);
    } catch (error) {
      if (ifAbsent && error instanceof Error && isTaken(error.cause)) return undefined;
      throw error;
    }
  }

  /** The objects whose keys begin with `prefix`, in the order of their keys. */
  async list(prefix: string): Promise<readonly ListedObject[]> {
    const objects: ListedObject[] = [];
    const { bucket: Bucket, prefix: base } = this.#settings;
    let token: string | undefined;
    do {
      const page = await this.#send(0, (sdk, client, abortSignal) =>
        client.send(new sdk.ListObjectsV2Command({ Bucket, Prefix: base + prefix, ContinuationToken: token }), {
          abortSignal,
        }),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? [])
        objects.push({ key: Key.slice(base.length), sizeBytes: Size, modifiedAtMs: LastModified?.getTime() ?? 0 });
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined && objects.length < maxListed);
    return objects;
  }

  /** Size of an object; undefined without one. */
  async size(key: string): Promise<number | undefined> {
    const found = await this.#find((sdk, client, abortSignal) =>
      client.send(new sdk.HeadObjectCommand(this.#object(key)), { abortSignal }),
    );
    return found && (found.ContentLength ?? 0);
  }

  /**
   * Reads an object of `sizeBytes` or a range of it; undefined without the object. The stream fails with a
   * `StorageError` when content stops arriving or ends early. The caller destroys the stream.
   */
  async get(key: string, sizeBytes: number, range?: ByteRange): Promise<Readable | undefined> {
    const response = await this.#find((sdk, client, abortSignal) =>
      client.send(
        new sdk.GetObjectCommand({
          ...this.#object(key),
          ...(range && { Range: `bytes=${range.start}-${range.end}` }),
        }),
        { abortSignal },
      ),
    );
    if (!response) return undefined;
    const wanted = range ?? { start: 0, end: sizeBytes - 1 };
    const received = bodyOf(response);
    const body = readBody(received, {
      ...this.#limits,
      skipBytes: wanted.start - firstByteOf(response),
      sizeBytes: wanted.end - wanted.start + 1,
      url: this.url,
    });
    return closingWith(Readable.from(body, { objectMode: false }), received);
  }

  async delete(key: string): Promise<void> {
    await this.#find((sdk, client, abortSignal) =>
      client.send(new sdk.DeleteObjectCommand(this.#object(key)), { abortSignal }),
    );
  }

  /** Returns a URL that reads an object without credentials; it ends with those of this process at the latest. */
  async signedUrl(key: string, { lifetimeMs, contentType, contentDisposition }: SignedUrlOptions): Promise<string> {
    const [{ sdk, client }, { getSignedUrl }] = await Promise.all([
      this.#load(),
      import('@aws-sdk/s3-request-presigner'),
    ]);
    const command = new sdk.GetObjectCommand({
      ...this.#object(key),
      ResponseContentType: contentType,
      ResponseContentDisposition: contentDisposition,
    });
    try {
      // As for requests, the clock of the server counts, once an answer has stated it.
      const signingDate = new Date(Date.now() + client.config.systemClockOffset);
      return await getSignedUrl(client, command, { expiresIn: Math.ceil(lifetimeMs / 1_000), signingDate });
    } catch (error) {
      // Without credentials, for example.
      throw toStoreError(error, this.url);
    }
  }

  /** Begins an upload in parts and returns its id. */
  async createUpload(key: string): Promise<string> {
    const { UploadId } = await this.#send(0, (sdk, client, abortSignal) =>
      client.send(new sdk.CreateMultipartUploadCommand(this.#object(key)), { abortSignal }),
    );
    return UploadId ?? '';
  }

  async uploadPart(
    { key, uploadId, partNumber }: { readonly key: string; readonly uploadId: string; readonly partNumber: number },
    content: Buffer,
    signal: AbortSignal,
  ): Promise<StoredPart> {
    const md5 = md5Of(content);
    const { ETag } = await this.#send(
      content.byteLength,
      (sdk, client, abortSignal) =>
        client.send(
          new sdk.UploadPartCommand({
            ...this.#object(key),
            UploadId: uploadId,
            PartNumber: partNumber,
            Body: content,
            ContentMD5: md5.toString('base64'),
          }),
          { abortSignal },
        ),
      signal,
    );
    return { ...toStoredContent(ETag, md5), partNumber };
  }

  /** Makes the object of an upload visible. */
  async completeUpload(key: string, uploadId: string, parts: readonly StoredPart[]): Promise<void> {
    // The server may need minutes to join the parts of a large object, and keeps the connection alive meanwhile.
    const joinedBytes = parts.length * this.#limits.minBytesPerSecond;
    await this.#send(joinedBytes, (sdk, client, abortSignal) =>
      client.send(
        new sdk.CompleteMultipartUploadCommand({
          ...this.#object(key),
          UploadId: uploadId,
          MultipartUpload: { Parts: parts.map(({ etag, partNumber }) => ({ ETag: etag, PartNumber: partNumber })) },
        }),
        { abortSignal },
      ),
    );
  }

  async abortUpload(key: string, uploadId: string): Promise<void> {
    await this.#find((sdk, client, abortSignal) =>
      client.send(new sdk.AbortMultipartUploadCommand({ ...this.#object(key), UploadId: uploadId }), { abortSignal }),
    );
  }

  /** Up to a thousand unfinished uploads; none from a server that does not list them. */
  async listUploads(): Promise<readonly UnfinishedUpload[]> {
    const { bucket: Bucket, prefix } = this.#settings;
    try {
      const { Uploads = [] } = await this.#send(0, (sdk, client, abortSignal) =>
        client.send(new sdk.ListMultipartUploadsCommand({ Bucket, Prefix: prefix }), { abortSignal }),
      );
      return Uploads.map(({ Key = '', UploadId = '', Initiated }) => ({
        key: Key.slice(prefix.length),
        uploadId: UploadId,
        startedAtMs: Initiated?.getTime() ?? Infinity,
      }));
    } catch (error) {
      if (error instanceof Error && isNotImplemented(error.cause)) return [];
      throw error;
    }
  }

  /** As `#send`, but undefined for a missing object. */
  async #find<Answer>(call: Call<Answer>): Promise<Answer | undefined> {
    try {
      return await this.#send(0, call);
    } catch (error) {
      if (error instanceof Error && isMissing(error.cause)) return undefined;
      throw error;
    }
  }

  /** Runs a request with `contentBytes` of content, and repeats it within the limits. */
  async #send<Answer>(contentBytes: number, call: Call<Answer>, signal?: AbortSignal): Promise<Answer> {
    const { sdk, client } = await this.#load();
    const { responseTimeoutMs, minBytesPerSecond, tries, pauseMs } = this.#limits;
    const limitMs = responseTimeoutMs + (contentBytes / minBytesPerSecond) * 1_000;
    const send = async (): Promise<Answer> => {
      // Not `AbortSignal.timeout`, which would also end the content of an answer, long after it has begun.
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(), limitMs);
      try {
        return await call(sdk, client, signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal);
      } catch (error) {
        if (signal?.aborted) throw abortError(signal);
        throw timeout.signal.aborted ? storeError('store_timeout', this.url, error) : toStoreError(error, this.url);
      } finally {
        clearTimeout(timer);
      }
    };
    return pRetry(send, {
      retries: tries - 1,
      minTimeout: pauseMs,
      randomize: true,
      shouldRetry: ({ error }) => isTransient(error),
      ...(signal && { signal }),
    });
  }

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#settings.prefix + key };
  }
}

type Call<Answer> = (sdk: typeof S3Sdk, client: S3Client, signal: AbortSignal) => Promise<Answer>;

function bodyOf({ Body }: GetObjectCommandOutput): Readable {
  if (Body instanceof Readable) return Body;
  throw new Error('The SDK returned no stream.');
}

/** Servers may ignore a range, or extend it. */
function firstByteOf({ ContentRange }: GetObjectCommandOutput): number {
  const [, first] = /^bytes (\d+)-/.exec(ContentRange ?? '') ?? [];
  return Number(first ?? 0);
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && ['PreconditionFailed', 'ConditionalRequestConflict'].includes(error.name);
}

function isNotImplemented(error: unknown): boolean {
  return error instanceof Error && ['NotImplemented', 'MethodNotAllowed'].includes(error.name);
}

/** S3 uses MD5 to detect damage, not attacks. */
function md5Of(content: Buffer): Buffer {
  return createHash('md5').update(content).digest();
}

function toStoredContent(etag = '', md5: Buffer): StoredContent {
  return { etag, isVerified: etag.replaceAll('"', '') === md5.toString('hex') };
}
