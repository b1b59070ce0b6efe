import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compare, TakeMaker, totalMs } from './take-fixture.ts';

const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const names = clipsFolder === undefined ? [] : readdirSync(clipsFolder).sort();
/** Every second one, because neighbors are of one kind; `npm run soak -- quality-clips` makes takes of all. */
const clips = names.filter((name) => /\.(mp4|avi|png)$/.test(name)).filter((_, index) => index % 2 === 0);
const speech = names.find((name) => name.endsWith('.wav')) ?? '';

describe('Takes of real clips', () => {
  it.skipIf(clips.length === 0).each(clips.length === 0 ? ['(needs LIPSYNC_TEST_CLIPS_DIR)'] : clips)(
    'The lips of a take of %s are reported when they are those of the clip, and not when they were redrawn.',
    { timeout: 300_000 },
    async (name) => {
      await using maker = await TakeMaker.create();
      const speechPath = await maker.ffmpeg('-i', join(clipsFolder ?? '', speech), '-t', '3', 'speech.wav');
      const takes = await maker.make(join(clipsFolder ?? '', name), speechPath);
      expect(totalMs(await compare(takes, takes.oldPath))).toBeGreaterThan(1_500);
      expect(await compare(takes, takes.movingPath)).toEqual([]);
    },
  );
});
