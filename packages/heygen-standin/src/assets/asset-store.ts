import { randomUUID } from 'node:crypto';
import { HeygenError } from '../http/heygen-error.ts';
import type { ReceivedFile } from './receive-file.ts';

/** What a direct upload promised before its bytes came. */
export interface UploadPromise {
  readonly name: string;
  readonly contentType: string;
  readonly sizeBytes: number;
  readonly sha256: string | undefined;
}

interface StoredAsset {
  readonly id: string;
  readonly name: string;
  readonly mimeType: string;
  readonly file: ReceivedFile;
  readonly uploadedAtMs: number;
}

interface PendingAsset {
  readonly promise: UploadPromise;
  file: ReceivedFile | undefined;
  conflictsLeft: number;
}

export interface AssetStore {
  add(name: string, mimeType: string, file: ReceivedFile): StoredAsset;
  /** The asset. Throws 404 `asset_not_found`, or 409 `resource_not_ready` for a direct upload that is not completed. */
  require(id: string, param?: string): StoredAsset;
  expect(promise: UploadPromise, conflicts: number): string;
  /** A direct upload that waits for its bytes or its completion; undefined for any other id. */
  pending(id: string): PendingAsset | undefined;
  /** Makes a direct upload usable; again and again gives the same. Throws 404, and 409 until the bytes are there. */
  complete(id: string): StoredAsset;
  /** Forgets the asset, or the direct upload that waits; jobs that use it go on. Throws 404. */
  delete(id: string): void;
  clear(): void;
}

export function createAssetStore(now: () => number): AssetStore {
  const stored = new Map<string, StoredAsset>();
  const pending = new Map<string, PendingAsset>();
  const newId = (): string => randomUUID().replaceAll('-', '');
  const keep = (values: Omit<StoredAsset, 'uploadedAtMs'>): StoredAsset => {
    const asset = { ...values, uploadedAtMs: now() };
    stored.set(asset.id, asset);
    return asset;
  };
  return {
    add: (name, mimeType, file) => keep({ id: newId(), name, mimeType, file }),
    require(id, param) {
      const asset = stored.get(id);
      if (asset !== undefined) return asset;
      if (pending.has(id))
        throw new HeygenError(409, 'resource_not_ready', `Asset ${id} is not completed yet`, { param });
      throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`, { param });
    },
    expect(promise, conflicts) {
      const id = newId();
      pending.set(id, { promise, file: undefined, conflictsLeft: conflicts });
      return id;
    },
    pending: (id) => pending.get(id),
    complete(id) {
      const done = stored.get(id);
      if (done !== undefined) return done;
      const waiting = pending.get(id);
      if (waiting === undefined) throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`);
      if (waiting.file === undefined || waiting.conflictsLeft > 0) {
        // The storage may lag behind its own answer.
        if (waiting.file !== undefined) waiting.conflictsLeft -= 1;
        throw new HeygenError(409, 'resource_not_ready', 'Uploaded object not found yet');
      }
      pending.delete(id);
      return keep({ id, name: waiting.promise.name, mimeType: waiting.promise.contentType, file: waiting.file });
    },
    delete(id) {
      const known = [stored.delete(id), pending.delete(id)].includes(true);
      if (!known) throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`);
    },
    clear() {
      stored.clear();
      pending.clear();
    },
  };
}
