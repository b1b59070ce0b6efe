import { renameSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TrackCache, type TrackKey } from './track-cache.ts';
import { TrackWriter } from './track-file.ts';

/** A track of one frame has a little over 5.7 kB, so two tracks fit. */
const maximumBytes = 13_000;

let folder: string;
let cache: TrackCache;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-tracks-'));
  cache = new TrackCache(folder, maximumBytes);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function keyOf(clipDigest: string): TrackKey {
  return { clipDigest, start: 0, end: 1, frameRate: '25/1', size: '64x64', detector: 'any', trackerVersion: 1 };
}

async function publish(clipDigest: string): Promise<void> {
  const path = join(folder, 'unfinished');
  const writer = new TrackWriter(path);
  writer.add('absent', new Float32Array(0));
  const none = { absentRanges: [], hiddenRanges: [], faceChoices: [] };
  await writer.finish({ frameCount: 1, shotStarts: [0], ...none, fadeFrames: 5 });
  writer.close();
  (await cache.publish(path, keyOf(clipDigest)))?.close();
}

async function isCached(clipDigest: string): Promise<boolean> {
  const track = await cache.find(keyOf(clipDigest));
  track?.close();
  return track !== undefined;
}

/** Truncates the only track. */
async function truncateTrack(): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.track'));
  await truncate(join(folder, names[0] ?? ''), 1_000);
}

async function age(minutes: number): Promise<void> {
  const past = new Date(Date.now() - minutes * 60_000);
  for (const name of await readdir(folder)) await utimes(join(folder, name), past, past);
}

describe('TrackCache', () => {
  it('A track is found only by the key that it was published with.', async () => {
    await publish('a');
    expect(await isCached('a')).toBe(true);
    expect(await cache.find({ ...keyOf('a'), end: 2 })).toBeUndefined();
    expect(await cache.find({ ...keyOf('a'), detector: 'other' })).toBeUndefined();
  });

  it('The least recently used track is evicted when the cache exceeds its limit.', async () => {
    await publish('a');
    await age(2);
    await publish('b');
    await age(1);
    expect(await isCached('a')).toBe(true);
    await publish('c');
    expect([await isCached('a'), await isCached('b'), await isCached('c')]).toEqual([true, false, true]);
  });

  it('A damaged track is deleted.', async () => {
    await publish('a');
    await truncateTrack();
    expect(await isCached('a')).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(['missing', 'damaged'])(
    'A track that another process publishes after this one found it %s is kept.',
    async (state) => {
      await publish('a');
      const [name = ''] = await readdir(folder);
      await copyFile(join(folder, name), join(folder, 'replacement'));
      if (state === 'missing') await rm(join(folder, name));
      else await truncateTrack();
      const lookup = isCached('a');
      renameSync(join(folder, 'replacement'), join(folder, name));
      expect(await lookup).toBe(false);
      expect(await isCached('a')).toBe(true);
    },
  );

  it('Old partial files of killed processes are deleted.', async () => {
    await writeFile(join(folder, 'old.partial'), 'x');
    await age(24 * 60);
    await writeFile(join(folder, 'recent.partial'), 'x');
    await publish('a');
    expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual(['recent.partial']);
  });
});
