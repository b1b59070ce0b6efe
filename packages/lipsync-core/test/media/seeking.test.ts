import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { canSeek, openFrames, probeClip, type ClipFacts, type RangeOptions } from '../../src/media/index.ts';
import { limits, makeMedia, temporaryFolder } from './make-media.ts';

const rate = { numerator: 25, denominator: 1 };
const source = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=30:d=8'];
const encoding = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '60', '-bf', '3', '-pix_fmt', 'yuv420p'];
/** Drops frames, some of them for a second and a half, and delays others. */
const irregular = `select='not(eq(mod(n,7),3))*not(between(n,100,145))',setpts='PTS+0.004/TB*mod(N,3)'`;

async function makeVideo(name: string, ...more: readonly string[]): Promise<string> {
  return makeMedia(...source, ...encoding, ...more, join(await temporaryFolder(), name));
}

async function makeVariable(name: string): Promise<string> {
  return makeVideo(name, '-vf', irregular, '-fps_mode', 'vfr');
}

/** A copy from the middle of a group of pictures, whose first frames an edit list hides. */
async function cut(path: string): Promise<string> {
  return makeMedia('-ss', '1.23', '-i', path, '-c', 'copy', join(await temporaryFolder(), 'cut.mp4'));
}

/** A copy with a sound that starts so many seconds before the picture. */
async function addSound(path: string, delayS: number): Promise<string> {
  const sound = ['-f', 'lavfi', '-i', 'sine=d=8', '-map', '0:v', '-map', '1:a', '-c:v', 'copy'];
  return makeMedia('-itsoffset', String(delayS), '-i', path, ...sound, join(await temporaryFolder(), 'late.mp4'));
}

const materials: Readonly<Record<string, () => Promise<string>>> = {
  'a constant rate': () => makeVideo('constant.mp4'),
  'a variable rate': () => makeVariable('variable.mp4'),
  'a variable rate in Matroska': () => makeVariable('variable.mkv'),
  'an edit list': async () => cut(await makeVideo('whole.mp4')),
  'an edit list and a variable rate': async () => cut(await makeVariable('whole.mp4')),
  'open groups of pictures': () => makeVideo('open.mp4', '-x264-params', 'open-gop=1:scenecut=0'),
  'a picture that starts after the sound': async () => addSound(await makeVideo('early.mp4'), 0.7),
};

async function read(path: string, facts: ClipFacts, options: Pick<RangeOptions, 'range' | 'seek' | 'exact' | 'area'>) {
  const pictures: Buffer[] = [];
  for await (const { data } of openFrames({ path, facts: { ...facts, frameRate: rate }, ...options }))
    pictures.push(Buffer.from(data));
  return pictures;
}

describe('openFrames with seeking', { timeout: 60_000 }, () => {
  it.each(Object.entries(materials))(
    'The frames of a video with %s are those of a pass from its start.',
    async (_, make) => {
      const path = await make();
      const facts = await probeClip(path, { limits });
      expect(canSeek(facts)).toBe(true);
      const all = await read(path, facts, { range: { start: 0, end: 160 } });
      for (const start of [0, 31, 62, 75, 90, 117]) {
        const range = { start, end: start + 20 };
        const found = await read(path, facts, { range, seek: true, exact: true });
        expect(found.map((picture, index) => picture.equals(all[start + index] ?? picture.subarray(1)))).toEqual(
          found.map(() => true),
        );
      }
    },
  );

  it('An area has the pixels that it has in the whole picture.', async () => {
    const path = await makeVideo('clip.mp4');
    const facts = await probeClip(path, { limits });
    const range = { start: 40, end: 42 };
    const area = { x: 34, y: 22, width: 60, height: 46 };
    const [whole] = await read(path, facts, { range });
    const [part] = await read(path, facts, { range, area, seek: true });
    expect(part).toHaveLength(60 * 46 * 1.5);
    for (let y = 0; y < area.height; y += 1) {
      const start = (area.y + y) * 128 + area.x;
      expect(part?.subarray(y * 60, y * 60 + 60)).toEqual(whole?.subarray(start, start + 60));
    }
  });

  it('Frames that seeking does not find are noticed, and containers without an index are not sought in.', async () => {
    // A refresh from left to right takes about a second, in which the decoder drops all frames after seeking.
    const refresh = 'intra-refresh=1:keyint=60';
    const refreshed = await makeVideo('refresh.mp4', '-s', '640x96', '-x264-params', refresh);
    const facts = await probeClip(refreshed, { limits });
    await expect(read(refreshed, facts, { range: { start: 62, end: 82 }, seek: true, exact: true })).rejects.toThrow(
      LipsyncError,
    );
    const stream = await makeVideo('stream.ts');
    expect(canSeek(await probeClip(stream, { limits }))).toBe(false);
  });
});
