import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { FaceTrack } from './face-types.ts';
import { openTrackFile } from './track-file.ts';

const extension = '.track';
const partialExtension = '.partial';
const oldestPartialMs = 6 * 60 * 60 * 1000;

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

/** Finished tracks in one folder, limited in size; the least recently used go first. Safe for several processes at once. */
export interface TrackCache {
  /** The track for a key; undefined when there is none, or only a damaged one, which is removed. The caller closes it. */
  find(key: TrackKey): Promise<FaceTrack | undefined>;
  /** Moves a finished file on the same file system into the cache and makes room. The caller closes the track. */
  publish(finishedPath: string, key: TrackKey): Promise<FaceTrack | undefined>;
}

/** `maxBytes` bounds the folder; the newest track stays even when it alone is larger. */
export function createTrackCache(folder: string, maxBytes: number): TrackCache {
  const pathOf = (key: TrackKey): string => join(folder, `${digestOf(key)}${extension}`);
  return {
    find: async (key) => {
      const path = pathOf(key);
      const opening = openTrackFile(path, true);
      if (opening.state === 'damaged') await removeDamaged(path, opening.inode);
      if (opening.state !== 'whole') return undefined;
      await touch(path);
      return opening.track;
    },
    publish: async (finishedPath, key) => {
      const path = pathOf(key);
      await mkdir(folder, { recursive: true });
      await rename(finishedPath, path);
      const opening = openTrackFile(path, false);
      await makeRoom(folder, maxBytes, path);
      return opening.state === 'whole' ? opening.track : undefined;
    },
  };
}

function digestOf({ clipDigest, start, end, frameRate, size, detector, trackerVersion }: TrackKey): string {
  const parts = [clipDigest, start, end, frameRate, size, detector, trackerVersion];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** The time of last use is kept in the file's times; a file that just went away is somebody else's eviction. */
async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/**
 * Another process may have published a whole track under the name since it was looked at. So what lies there is taken
 * aside first, and goes back when it is not the file that was found damaged.
 */
async function removeDamaged(path: string, inode: number): Promise<void> {
  const aside = `${path}.${randomUUID()}${partialExtension}`;
  try {
    await rename(path, aside);
    const { ino } = await stat(aside);
    if (ino === inode) await rm(aside);
    else await rename(aside, path);
  } catch (error) {
    // Somebody else has removed it.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

async function makeRoom(folder: string, maxBytes: number, keep: string): Promise<void> {
  const entries = await Promise.all((await readdir(folder)).map((name) => describe(join(folder, name))));
  const files = entries.filter((entry) => entry !== undefined);
  const stale = files.filter(
    ({ path, usedAtMs }) => path.endsWith(partialExtension) && Date.now() - usedAtMs > oldestPartialMs,
  );
  const tracks = files
    .filter(({ path }) => path.endsWith(extension))
    .sort((first, second) => first.usedAtMs - second.usedAtMs);
  let total = tracks.reduce((sum, { bytes }) => sum + bytes, 0);
  const surplus = tracks.filter(({ path, bytes }) => {
    if (path === keep || total <= maxBytes) return false;
    total -= bytes;
    return true;
  });
  await Promise.all([...stale, ...surplus].map(({ path }) => rm(path, { force: true })));
}

async function describe(path: string) {
  const { size, mtimeMs } = await stat(path).catch(() => ({ size: -1, mtimeMs: 0 }));
  return size < 0 ? undefined : { path, bytes: size, usedAtMs: mtimeMs };
}
