import { randomUUID } from 'node:crypto';
import { HeygenError } from '../http/answer.ts';
import type { ReceivedFile } from './receive-file.ts';

/** A direct upload as it was announced, before its bytes arrive. */
export interface AnnouncedUpload {
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
  readonly announced: AnnouncedUpload;
  file: ReceivedFile | undefined;
  conflictsLeft: number;
}

/** Uploaded assets and direct uploads in progress. */
export class AssetStore {
  readonly #now: () => number;
  readonly #stored = new Map<string, StoredAsset>();
  readonly #pending = new Map<string, PendingAsset>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(name: string, mimeType: string, file: ReceivedFile): StoredAsset {
    return this.#store({ id: createId(), name, mimeType, file });
  }

  /** Throws 404 `asset_not_found`, or 409 `resource_not_ready` for a direct upload that is not completed. */
  require(id: string, param?: string): StoredAsset {
    const asset = this.#stored.get(id);
    if (asset !== undefined) return asset;
    if (this.#pending.has(id))
      throw new HeygenError(409, 'resource_not_ready', `Asset ${id} is not completed yet`, { param });
    throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`, { param });
  }

  /** Starts a direct upload and returns its id. `conflicts`: how many completions fail although the bytes arrived. */
  announce(announced: AnnouncedUpload, conflicts: number): string {
    const id = createId();
    this.#pending.set(id, { announced, file: undefined, conflictsLeft: conflicts });
    return id;
  }

  /** Finds a direct upload that is not completed. */
  findPending(id: string): PendingAsset | undefined {
    return this.#pending.get(id);
  }

  /**
   * Completes a direct upload; repeated calls return the same asset. Throws 404, and 409 until the bytes are visible.
   */
  complete(id: string): StoredAsset {
    const completed = this.#stored.get(id);
    if (completed !== undefined) return completed;
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`);
    if (pending.file === undefined || pending.conflictsLeft > 0) {
      // Models a storage that reports an upload only after a delay.
      if (pending.file !== undefined) pending.conflictsLeft -= 1;
      throw new HeygenError(409, 'resource_not_ready', 'Uploaded object not found yet');
    }
    this.#pending.delete(id);
    const { name, contentType } = pending.announced;
    return this.#store({ id, name, mimeType: contentType, file: pending.file });
  }

  /** Deletes an asset or a pending direct upload; jobs that use it continue. Throws 404. */
  delete(id: string): void {
    const isKnown = [this.#stored.delete(id), this.#pending.delete(id)].includes(true);
    if (!isKnown) throw new HeygenError(404, 'asset_not_found', `Asset ${id} not found`);
  }

  all(): readonly StoredAsset[] {
    return [...this.#stored.values()];
  }

  clear(): void {
    this.#stored.clear();
    this.#pending.clear();
  }

  #store(values: Omit<StoredAsset, 'uploadedAtMs'>): StoredAsset {
    const asset = { ...values, uploadedAtMs: this.#now() };
    this.#stored.set(asset.id, asset);
    return asset;
  }
}

function createId(): string {
  return randomUUID().replaceAll('-', '');
}
