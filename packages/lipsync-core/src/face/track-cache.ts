import { createHash, randomUUID } from 'node:crypto';
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { createFolder } from '../processes/workspace.ts';
import { linkOrCopy } from '../storage/durable-files.ts';
import type { FaceTrack } from './face-types.ts';
import { openTrackFile } from './track-file.ts';

const extension = '.track';
const partialExtension = '.partial';
/** Partial files of this age belong to a killed process. */
const stalePartialMs = 6 * 60 * 60 * 1000;

/** Everything that a track depends on; equal keys mean equal tracks. */
export interface TrackKey {
  readonly clipDigest: string;
  readonly start: number;
  readonly end: number;
  readonly frameRate: string;
  readonly size: string;
  readonly detector: string;
  readonly trackerVersion: number;
}

/**
 * A folder of finished tracks with least-recently-used eviction. Several processes may share it. The newest track is
 * kept even when it is larger than the limit.
 */
export class TrackCache {
  readonly #folder: string;
  readonly #maximumBytes: number;

  constructor(folder: string, maximumBytes: number) {
    this.#folder = folder;
    this.#maximumBytes = maximumBytes;
  }

  /** Returns the track of a key, or undefined. A damaged track is deleted. The caller closes the track. */
  async find(key: TrackKey): Promise<FaceTrack | undefined> {
    const path = this.#pathOf(key);
    const opening = openTrackFile(path, true);
    if (opening.state === 'damaged') await removeDamaged(path, opening.inode);
    if (opening.state !== 'intact') return undefined;
    await touch(path);
    return opening.track;
  }

  /**
   * Moves a finished file of the same file system into the cache and evicts old tracks. Returns undefined when the file
   * is damaged. The caller closes the track.
   */
  async publish(finishedPath: string, key: TrackKey): Promise<FaceTrack | undefined> {
    const path = this.#pathOf(key);
    await createFolder(this.#folder);
    await rename(finishedPath, path);
    const opening = openTrackFile(path, false);
    await this.#evict(path);
    return opening.state === 'intact' ? opening.track : undefined;
  }

  /** Leaves a copy of a finished track at `targetPath`, or a link to it. Throws the errors of the file system. */
  async copyTo(key: TrackKey, targetPath: string): Promise<void> {
    await linkOrCopy(this.#pathOf(key), targetPath);
  }

  #pathOf({ clipDigest, start, end, frameRate, size, detector, trackerVersion }: TrackKey): string {
    const parts = [clipDigest, start, end, frameRate, size, detector, trackerVersion];
    const digest = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
    return join(this.#folder, `${digest}${extension}`);
  }

  async #evict(keptPath: string): Promise<void> {
    const names = await readdir(this.#folder);
    const entries = await Promise.all(names.map((name) => describeFile(join(this.#folder, name))));
    const files = entries.filter((entry) => entry !== undefined);
    const stale = files.filter(
      ({ path, usedAtMs }) => path.endsWith(partialExtension) && Date.now() - usedAtMs > stalePartialMs,
    );
    const tracks = files
      .filter(({ path }) => path.endsWith(extension))
      .sort((first, second) => first.usedAtMs - second.usedAtMs);
    let total = tracks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const surplus = tracks.filter(({ path, sizeBytes }) => {
      if (path === keptPath || total <= this.#maximumBytes) return false;
      total -= sizeBytes;
      return true;
    });
    await Promise.all([...stale, ...surplus].map(({ path }) => rm(path, { force: true })));
  }
}

/** Records the time of last use in the file's times. Another process may have evicted the file, which is no error. */
async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/**
 * Deletes a damaged file. Another process may have published an intact track at the path in the meantime, so the file
 * is renamed first and restored when its inode differs.
 */
async function removeDamaged(path: string, inode: number): Promise<void> {
  const renamedPath = `${path}.${randomUUID()}${partialExtension}`;
  try {
    await rename(path, renamedPath);
    const { ino } = await stat(renamedPath);
    if (ino === inode) await rm(renamedPath);
    else await rename(renamedPath, path);
  } catch (error) {
    // ENOENT: another process has deleted it.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

async function describeFile(path: string) {
  const { size, mtimeMs } = await stat(path).catch(() => ({ size: -1, mtimeMs: 0 }));
  return size < 0 ? undefined : { path, sizeBytes: size, usedAtMs: mtimeMs };
}
