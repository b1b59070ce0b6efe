import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pRetry from 'p-retry';
import { abortError, LipsyncError, toLipsyncError, toStorageError, type StorageFolder } from '../../errors/index.ts';
import { KeyedMutex } from '../../processes/keyed-mutex.ts';
import { createFolder, workStorage } from '../../processes/workspace.ts';
import {
  parseArtifactKey,
  requireOutputKey,
  type ArtifactStore,
  type ArtifactStoreHealth,
  type ByteRange,
  type ContentHeaders,
  type FolderHealth,
  type PutInputOptions,
  type StoredArtifact,
} from '../artifact-store.ts';
import type { S3Settings, SignedUrlSettings } from '../artifact-store-settings.ts';
import { partPathFor } from '../durable-files.ts';
import { hashFile, type FileHash } from '../file-hash.ts';
import { checkFolder } from '../folder-check.ts';
import { sweepPartialFiles, type SweepAge } from '../partial-files.ts';
import { notStored, requireInside, writeHashed } from '../stored-content.ts';
import { InputCache } from './input-cache.ts';
import { S3Bucket } from './s3-bucket.ts';
import { closingWith, verifyBody } from './s3-body.ts';
import { isTransient, storeError } from './s3-errors.ts';
import type { S3Limits } from './s3-requests.ts';
import { uploadFile, type FileUpload } from './s3-upload.ts';
import { listVersions, nextVersionKey, type StoredObject } from './stored-object.ts';

export interface S3ArtifactStoreOptions {
  readonly settings: S3Settings;
  /** Folder of this machine for uploads that are under way; created when missing. */
  readonly uploadsDir: string;
  /** Folder of this machine for inputs that are kept; created when missing. */
  readonly cacheDir: string;
  readonly cacheBytes: number;
  /** Null, the default: clients download outputs through the API. */
  readonly signedUrls?: SignedUrlSettings | null;
  readonly limits?: Partial<S3Limits>;
  /** Longest wait for a transfer of the same artifact in this process. */
  readonly transferWaitMs?: number;
}

const idKey = 'store-id';
/** Two processes that create the id at once read the same one after this time, on servers that ignore conditions. */
const idPauseMs = 300;
const readTries = 3;
const defaultTransferWaitMs = 30 * 60_000;
/** Servers do not state when the last part of an unfinished upload arrived, and a slow upload takes hours. */
const maxUploadMs = 86_400_000;
/** A stored input that is older is stored again, so that no rule of the bucket deletes it by its age soon. */
const refreshAfterMs = 86_400_000;
/** How often a kept input is compared with the store, which may have erased it. */
const cacheCheckMs = 5 * 60_000;

/**
 * Stores artifacts in a bucket. Content is written to a file of this machine first, hashed and uploaded under a key of
 * its own, compared with what the server has, and only then counts. Readers compare the hash again.
 */
export class S3ArtifactStore implements ArtifactStore {
  readonly #bucket: S3Bucket;
  readonly #signedUrls: (SignedUrlSettings & { readonly bucket: S3Bucket }) | null;
  readonly #uploads: StorageFolder;
  readonly #cache: InputCache;
  /** One transfer of an artifact at a time: the second finds what the first has stored. */
  readonly #transfers: KeyedMutex;
  readonly #checkedAtMs = new Map<string, number>();

  constructor(options: S3ArtifactStoreOptions) {
    const { settings, uploadsDir, cacheDir, cacheBytes, signedUrls = null, limits } = options;
    this.#bucket = new S3Bucket(settings, limits);
    this.#transfers = new KeyedMutex({ maxWaitMs: options.transferWaitMs ?? defaultTransferWaitMs });
    // The host is part of what is signed.
    this.#signedUrls = signedUrls && {
      ...signedUrls,
      bucket: signedUrls.endpoint === null ? this.#bucket : new S3Bucket({ ...settings, ...signedUrls }),
    };
    this.#uploads = { path: uploadsDir, alternative: 'set LIPSYNC_DATA_DIR to another folder' };
    this.#cache = new InputCache({ folder: cacheDir, maxBytes: cacheBytes });
  }

  async id(): Promise<string> {
    const existing = await this.#readId();
    if (existing !== undefined) return existing;
    await this.#bucket.put(idKey, Buffer.from(`${randomUUID()}\n`), { ifAbsent: true });
    await delay(idPauseMs);
    const created = await this.#readId();
    if (created === undefined) throw storeError('store_corrupted', this.#bucket.url);
    return created;
  }

  /** Inputs and outputs are in one bucket. */
  register(): Promise<string> {
    return this.id();
  }

  async putInput(
    content: Readable,
    { maxBytes, signal, partPath = partPathFor(join(this.#uploads.path, 'input')) }: PutInputOptions,
  ): Promise<StoredArtifact> {
    try {
      await createFolder(this.#uploads.path);
      const hash = await writeHashed(content, partPath, { maxBytes, signal });
      const key = `inputs/${hash.sha256}`;
      await this.#transfer(key, () => this.#store(key, { path: partPath, hash, signal }), signal);
      return { key, ...hash };
    } catch (error) {
      throw signal?.aborted ? abortError(signal) : toStorageError(error, this.#uploads);
    } finally {
      await rm(partPath, { force: true }).catch(() => undefined);
    }
  }

  async publish(localPath: string, key: string, signal?: AbortSignal): Promise<StoredArtifact> {
    requireOutputKey(key);
    const hash = await hashFile(localPath, signal);
    await this.#transfer(key, () => this.#store(key, { path: localPath, hash, signal }), signal);
    await rm(localPath, { force: true });
    return { key, sizeBytes: hash.sizeBytes, sha256: null };
  }

  async stat(key: string): Promise<StoredArtifact | undefined> {
    const { kind } = parseArtifactKey(key);
    const found = await this.#find(key);
    return found && { key, sizeBytes: found.sizeBytes, sha256: kind === 'input' ? found.sha256 : null };
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    if (!range) return this.#readWhole(key);
    const { body } = await this.#open(key, { range });
    return body;
  }

  /** Reads an object and compares its hash. */
  async #readWhole(key: string, signal?: AbortSignal): Promise<Readable> {
    const { object, body } = await this.#open(key, { signal });
    const verified = verifyBody(body, object.sha256, this.#bucket.url);
    return closingWith(Readable.from(verified, { objectMode: false }), body);
  }

  async materialize(key: string, localPath: string, signal?: AbortSignal): Promise<void> {
    parseArtifactKey(key);
    const found = await this.#find(key, signal);
    if (!found) throw notStored();
    const provide = async (): Promise<void> => {
      if (await this.#cache.provide(found, localPath)) return;
      await this.#cache.add(found.sha256, localPath, (partPath) => this.#download(key, partPath, signal));
    };
    try {
      await this.#transfer(key, provide, signal);
    } catch (error) {
      throw signal?.aborted ? abortError(signal) : toStorageError(error, workStorage(dirname(localPath)));
    }
  }

  async signedUrl(key: string, headers: ContentHeaders): Promise<string | undefined> {
    parseArtifactKey(key);
    if (!this.#signedUrls) return undefined;
    const { bucket, lifetimeMs } = this.#signedUrls;
    const object = await this.#find(key);
    if (!object) throw notStored();
    return bucket.signedUrl(object.key, { ...headers, lifetimeMs });
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const location = parseArtifactKey(key);
    const versions = await listVersions(this.#bucket, key, signal);
    for (const { key: versionKey } of versions) await this.#bucket.delete(versionKey, signal);
    if (location.kind === 'input') await this.#cache.delete(location.sha256);
  }

  async sweep(age: SweepAge): Promise<number> {
    await this.#dropErasedInputs(age.nowMs);
    const files = await sweepPartialFiles([this.#uploads.path, this.#cache.folder], age);
    const unfinished = (await this.#bucket.listUploads()).filter(
      ({ startedAtMs }) => startedAtMs < age.nowMs - Math.max(age.olderThanMs, maxUploadMs),
    );
    for (const { key, uploadId } of unfinished) await this.#bucket.abortUpload(key, uploadId);
    return files + unfinished.length;
  }

  async health(): Promise<ArtifactStoreHealth> {
    const [bucket, folder] = await Promise.all([this.#bucketHealth(), checkFolder(this.#uploads)]);
    return { inputs: bucket.error ? bucket : folder, outputs: bucket };
  }

  /** Tests with a small object that the bucket can be written. */
  async #bucketHealth(): Promise<FolderHealth> {
    const { url } = this.#bucket;
    const key = `health/${randomUUID()}`;
    try {
      await this.#bucket.put(key, Buffer.from('health'));
      await this.#bucket.delete(key);
      return { path: url, freeBytes: null, error: null };
    } catch (error) {
      return { path: url, freeBytes: null, error: toLipsyncError(error) };
    }
  }

  async #readId(): Promise<string | undefined> {
    const sizeBytes = await this.#bucket.size(idKey);
    if (sizeBytes === undefined) return undefined;
    const content = await this.#bucket.get(idKey, sizeBytes);
    const id = content && (await text(content)).trim();
    if (id === undefined || /^[0-9a-f-]{36}$/.test(id)) return id;
    throw new LipsyncError(
      'request_invalid',
      `LIPSYNC_S3_BUCKET: ${this.#bucket.url}${idKey} is damaged. Delete it and the key lipsync:store in Redis, then start again.`,
    );
  }

  /** Runs a transfer after the earlier ones of the same artifact. Throws `store_timeout` where they take too long. */
  async #transfer(key: string, transfer: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    let hasBegun = false;
    const begin = (): Promise<void> => {
      hasBegun = true;
      return transfer();
    };
    await this.#transfers.run([key], begin, signal).catch((error: unknown) => {
      throw hasBegun || signal?.aborted ? error : storeError('store_timeout', this.#bucket.url, error);
    });
  }

  /** Uploads a file as the next version of an artifact, then deletes the earlier versions. */
  async #store(key: string, { path, hash, signal }: Omit<FileUpload, 'createKey'>): Promise<void> {
    const versions = await listVersions(this.#bucket, key, signal);
    const latest = versions.at(-1);
    if (latest && isSame(latest, hash) && latest.modifiedAtMs > Date.now() - refreshAfterMs) return;
    const createKey = (): string => nextVersionKey(key, versions, hash);
    await uploadFile(this.#bucket, { path, hash, createKey, signal });
    // Not those of other writers that began later: one of them is the last and deletes the rest.
    for (const { key: earlier } of versions) await this.#bucket.delete(earlier, signal);
  }

  async #find(key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
    return (await listVersions(this.#bucket, key, signal)).at(-1);
  }

  /** Opens the version that counts. It may be replaced between the listing and the read. */
  async #open(
    key: string,
    { range, signal }: { readonly range?: ByteRange; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly object: StoredObject; readonly body: Readable }> {
    parseArtifactKey(key);
    for (let tries = 0; tries < readTries; tries++) {
      const object = await this.#find(key, signal);
      if (!object) throw notStored();
      requireInside(range, object.sizeBytes);
      const body = await this.#bucket.get(object.key, object.sizeBytes, { range, signal });
      if (body) return { object, body };
    }
    throw notStored();
  }

  /** Writes an artifact to a new file, from the start again when the connection is lost. */
  async #download(key: string, partPath: string, signal: AbortSignal | undefined): Promise<void> {
    let hasBegun = false;
    await pRetry(
      async () => {
        hasBegun = false;
        const content = await this.#readWhole(key, signal);
        hasBegun = true;
        await pipeline(content, createWriteStream(partPath), signal ? { signal } : {});
      },
      // The request itself was repeated already.
      { retries: readTries - 1, minTimeout: 250, shouldRetry: ({ error }) => hasBegun && isTransient(error) },
    );
  }

  /** Deletes kept inputs that were erased by another machine. */
  async #dropErasedInputs(nowMs: number): Promise<void> {
    for (const sha256 of await this.#cache.list()) {
      if (nowMs - (this.#checkedAtMs.get(sha256) ?? 0) < cacheCheckMs) continue;
      if (await this.#find(`inputs/${sha256}`)) this.#checkedAtMs.set(sha256, nowMs);
      else {
        this.#checkedAtMs.delete(sha256);
        await this.#cache.delete(sha256);
      }
    }
  }
}

function isSame(object: StoredObject, hash: FileHash): boolean {
  return object.sha256 === hash.sha256 && object.sizeBytes === hash.sizeBytes;
}
