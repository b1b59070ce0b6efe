import { renameSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTrackCache, type TrackCache, type TrackKey } from './track-cache.ts';
import { createTrackFile } from './track-file.ts';

/** A track of one absent frame is a little over 5.7 kB. */
const roomForTwo = 13_000;

let folder: string;
let cache: TrackCache;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-tracks-'));
  cache = createTrackCache(folder, roomForTwo);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function keyOf(clipDigest: string): TrackKey {
  return { clipDigest, start: 0, end: 1, frameRate: '25/1', size: '64x64', detector: 'any', trackerVersion: 1 };
}

async function publish(clipDigest: string): Promise<void> {
  const path = join(folder, 'in-the-making');
  const writer = createTrackFile(path);
  writer.add('absent', new Float32Array(0));
  writer.finish({ frameCount: 1, shotStarts: [0], absentRanges: [] });
  (await cache.publish(path, keyOf(clipDigest)))?.close();
}

async function isKnown(clipDigest: string): Promise<boolean> {
  const track = await cache.find(keyOf(clipDigest));
  track?.close();
  return track !== undefined;
}

/** Cuts off the end of the only track. */
async function spoil(): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.track'));
  await truncate(join(folder, names[0] ?? ''), 1_000);
}

async function age(minutes: number): Promise<void> {
  const past = new Date(Date.now() - minutes * 60_000);
  for (const name of await readdir(folder)) await utimes(join(folder, name), past, past);
}

describe('the cache of tracks', () => {
  it('knows a track by everything that it depends on', async () => {
    await publish('a');
    expect(await isKnown('a')).toBe(true);
    expect(await cache.find({ ...keyOf('a'), end: 2 })).toBeUndefined();
    expect(await cache.find({ ...keyOf('a'), detector: 'other' })).toBeUndefined();
  });

  it('lets the track go that was not used for longest when there is no more room', async () => {
    await publish('a');
    await age(2);
    await publish('b');
    await age(1);
    expect(await isKnown('a')).toBe(true);
    await publish('c');
    expect([await isKnown('a'), await isKnown('b'), await isKnown('c')]).toEqual([true, false, true]);
  });

  it('removes a damaged track', async () => {
    await publish('a');
    await spoil();
    expect(await isKnown('a')).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each(['missing', 'damaged'])(
    'leaves a track alone that is published just after it was found to be %s',
    async (state) => {
      await publish('a');
      const [name = ''] = await readdir(folder);
      await copyFile(join(folder, name), join(folder, 'of another process'));
      if (state === 'missing') await rm(join(folder, name));
      else await spoil();
      const finding = isKnown('a');
      renameSync(join(folder, 'of another process'), join(folder, name));
      expect(await finding).toBe(false);
      expect(await isKnown('a')).toBe(true);
    },
  );

  it('clears away what a crash left unfinished, once it is old', async () => {
    await writeFile(join(folder, 'old.partial'), 'x');
    await age(24 * 60);
    await writeFile(join(folder, 'young.partial'), 'x');
    await publish('a');
    expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual(['young.partial']);
  });
});
