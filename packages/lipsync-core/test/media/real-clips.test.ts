import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { framesPerSecond, probeTake } from '../../src/media/index.ts';
import { passThrough, temporaryFolder } from './make-media.ts';

const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const names = clipsFolder === undefined ? [] : readdirSync(clipsFolder);
const pairs = names
  .filter((name) => /\.(mp4|avi|png)$/.test(name))
  .flatMap((clip) => names.filter((name) => name === 'speech-10s.wav').map((speech) => ({ clip, speech })));

describe('Real clips', () => {
  it.skipIf(pairs.length === 0)(
    'Takes of real clips have the planned frames, and video and sound end together.',
    { timeout: 600_000 },
    async () => {
      for (const { clip, speech } of pairs) {
        const folder = await temporaryFolder();
        const { takePath, timeline } = await passThrough(
          folder,
          join(clipsFolder ?? '', clip),
          join(clipsFolder ?? '', speech),
        );
        const take = await probeTake(takePath);
        expect([clip, take.frameCount]).toEqual([clip, timeline.frameCount]);
        expect(Math.abs((take.audioDurationMs ?? 0) - take.videoDurationMs)).toBeLessThanOrEqual(
          1000 / framesPerSecond(timeline.frameRate),
        );
      }
    },
  );
});
