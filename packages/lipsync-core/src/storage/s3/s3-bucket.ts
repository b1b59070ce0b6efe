import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { addAbortSignal, Readable } from 'node:stream';
import type { ByteRange } from '../artifact-store.ts';
import type { S3Settings } from '../artifact-store-settings.ts';
import { closingWith, readBody } from './s3-body.ts';
import { toStoreError } from './s3-errors.ts';
import { S3Requests, type S3Limits } from './s3-requests.ts';

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

interface PutOptions {
  readonly ifAbsent?: boolean;
  readonly signal?: AbortSignal | undefined;
}

interface GetOptions {
  readonly range?: ByteRange | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The objects of one bucket. Keys are relative to the prefix of the settings. Every request has the limits and the
 * errors of `S3Requests`.
 */
export class S3Bucket {
  readonly #settings: S3Settings;
  readonly #requests: S3Requests;
  /** For messages. */
  readonly url: string;

  constructor(settings: S3Settings, limits: Partial<S3Limits> = {}) {
    this.#settings = settings;
    this.url = `s3://${settings.bucket}/${settings.prefix}`;
    this.#requests = new S3Requests(settings, this.url, limits);
  }

  /** Stores content; undefined if `ifAbsent` and the server has the key. */
  async put(
    key: string,
    content: Buffer,
    { ifAbsent = false, signal }: PutOptions = {},
  ): Promise<StoredContent | undefined> {
    const md5 = md5Of(content);
    try {
      const { ETag } = await this.#requests.send(
        (sdk, client, abortSignal) =>
          client.send(
            new sdk.PutObjectCommand({
              ...this.#object(key),
              Body: content,
              ContentMD5: md5.toString('base64'),
              ...(ifAbsent && { IfNoneMatch: '*' }),
            }),
            { abortSignal },
          ),
        { contentBytes: content.byteLength, signal },
      );
      return toStoredContent(ETag, md5);
    } catch (error) {
      if (ifAbsent && error instanceof Error && isTaken(error.cause)) return undefined;
      throw error;
    }
  }

  /** The objects whose keys begin with `prefix`, in the order of their keys. */
  async list(prefix: string, signal?: AbortSignal): Promise<readonly ListedObject[]> {
    const objects: ListedObject[] = [];
    const { bucket: Bucket, prefix: base } = this.#settings;
    let token: string | undefined;
    do {
      const page = await this.#requests.send(
        (sdk, client, abortSignal) =>
          client.send(new sdk.ListObjectsV2Command({ Bucket, Prefix: base + prefix, ContinuationToken: token }), {
            abortSignal,
          }),
        { signal },
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? [])
        objects.push({ key: Key.slice(base.length), sizeBytes: Size, modifiedAtMs: LastModified?.getTime() ?? 0 });
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined && objects.length < maxListed);
    return objects;
  }

  /** Size of an object; undefined without one. */
  async size(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const found = await this.#requests.find(
      (sdk, client, abortSignal) => client.send(new sdk.HeadObjectCommand(this.#object(key)), { abortSignal }),
      { signal },
    );
    return found && (found.ContentLength ?? 0);
  }

  /**
   * Reads an object of `sizeBytes` or a range of it; undefined without the object. The stream fails with a
   * `StorageError` when content stops arriving or ends early, and at once when the signal aborts. The caller destroys
   * the stream.
   */
  async get(key: string, sizeBytes: number, { range, signal }: GetOptions = {}): Promise<Readable | undefined> {
    const response = await this.#requests.find(
      (sdk, client, abortSignal) =>
        client.send(
          new sdk.GetObjectCommand({
            ...this.#object(key),
            ...(range && { Range: `bytes=${range.start}-${range.end}` }),
          }),
          { abortSignal },
        ),
      { signal },
    );
    if (!response) return undefined;
    const wanted = range ?? { start: 0, end: sizeBytes - 1 };
    const received = bodyOf(response);
    if (signal) addAbortSignal(signal, received);
    const body = readBody(received, {
      ...this.#requests.limits,
      skipBytes: wanted.start - firstByteOf(response),
      sizeBytes: wanted.end - wanted.start + 1,
      url: this.url,
    });
    return closingWith(Readable.from(body, { objectMode: false }), received);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    await this.#requests.find(
      (sdk, client, abortSignal) => client.send(new sdk.DeleteObjectCommand(this.#object(key)), { abortSignal }),
      { signal },
    );
  }

  /** Returns a URL that reads an object without credentials; it ends with those of this process at the latest. */
  async signedUrl(key: string, { lifetimeMs, contentType, contentDisposition }: SignedUrlOptions): Promise<string> {
    const [{ sdk, client }, { getSignedUrl }] = await Promise.all([
      this.#requests.load(),
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
  async createUpload(key: string, signal?: AbortSignal): Promise<string> {
    const { UploadId } = await this.#requests.send(
      (sdk, client, abortSignal) =>
        client.send(new sdk.CreateMultipartUploadCommand(this.#object(key)), { abortSignal }),
      { signal },
    );
    return UploadId ?? '';
  }

  async uploadPart(
    { key, uploadId, partNumber }: { readonly key: string; readonly uploadId: string; readonly partNumber: number },
    content: Buffer,
    signal: AbortSignal,
  ): Promise<StoredPart> {
    const md5 = md5Of(content);
    const { ETag } = await this.#requests.send(
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
      { contentBytes: content.byteLength, signal },
    );
    return { ...toStoredContent(ETag, md5), partNumber };
  }

  /**
   * Makes the object of an upload visible. False if the server has no such upload: it may have made the object visible
   * before, in answer to a request whose answer was lost.
   */
  async completeUpload(
    { key, uploadId }: { readonly key: string; readonly uploadId: string },
    parts: readonly StoredPart[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    // The server may need minutes to join the parts of a large object, and keeps the connection alive meanwhile.
    const contentBytes = parts.length * this.#requests.limits.minBytesPerSecond;
    const completed = await this.#requests.find(
      (sdk, client, abortSignal) =>
        client.send(
          new sdk.CompleteMultipartUploadCommand({
            ...this.#object(key),
            UploadId: uploadId,
            MultipartUpload: { Parts: parts.map(({ etag, partNumber }) => ({ ETag: etag, PartNumber: partNumber })) },
          }),
          { abortSignal },
        ),
      { contentBytes, signal },
    );
    return completed !== undefined;
  }

  async abortUpload(key: string, uploadId: string, signal?: AbortSignal): Promise<void> {
    await this.#requests.find(
      (sdk, client, abortSignal) =>
        client.send(new sdk.AbortMultipartUploadCommand({ ...this.#object(key), UploadId: uploadId }), { abortSignal }),
      { signal },
    );
  }

  /** Up to a thousand unfinished uploads; none from a server that does not list them. */
  async listUploads(): Promise<readonly UnfinishedUpload[]> {
    const { bucket: Bucket, prefix } = this.#settings;
    try {
      const { Uploads = [] } = await this.#requests.send((sdk, client, abortSignal) =>
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

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#settings.prefix + key };
  }
}

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
