import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeClip, type DecodedClip } from './decoded-clip.ts';
import { makeMedia, temporaryFolder, x264 } from './make-media.ts';

/** Luma at a position given as fractions of width and height. */
function lumaAt({ facts, frames }: DecodedClip, x: number, y: number): number {
  const row = Math.floor(y * facts.height);
  return frames[0]?.[row * facts.width + Math.floor(x * facts.width)] ?? Number.NaN;
}

/** Left half white, right half black. */
const halves = 'color=white:s=128x96:r=25:d=0.2,drawbox=x=64:w=64:h=96:c=black:t=fill';

describe('Unusual clips', () => {
  it('A clip with odd dimensions loses one row and one column.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=129x97:r=25:d=0.2',
      '-c:v',
      'libx264',
      '-pix_fmt',
      'yuv444p',
      join(folder, 'odd.mp4'),
    );
    const { facts, frames } = await decodeClip(path);
    expect(facts).toMatchObject({ width: 128, height: 96, frameCount: 5 });
    expect(frames).toHaveLength(5);
  });

  it('A clip with non-square pixels is stretched to square pixels.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia('-f', 'lavfi', '-i', halves, '-vf', 'setsar=3/2', ...x264, join(folder, 'oblong.mp4'));
    expect((await decodeClip(path)).facts).toMatchObject({ width: 192, height: 96 });
  });

  it('A 10-bit HEVC clip is decoded to 8 bits.', async () => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      halves,
      '-c:v',
      'libx265',
      '-preset',
      'ultrafast',
      '-x265-params',
      'log-level=none',
      '-pix_fmt',
      'yuv420p10le',
      join(folder, 'ten.mp4'),
    );
    const decoded = await decodeClip(path);
    expect(decoded.facts).toMatchObject({ codec: 'hevc', pixelFormat: 'yuv420p10le', frameCount: 5 });
    expect(lumaAt(decoded, 0.25, 0.5)).toBeCloseTo(235, -1);
    expect(lumaAt(decoded, 0.75, 0.5)).toBeCloseTo(16, -1);
  });

  it('A variable-rate clip is decoded at the nearest standard rate.', async () => {
    const folder = await temporaryFolder();
    const uneven = `testsrc2=s=128x96:r=60:d=2,select='not(mod(n\\,2))+not(mod(n\\,7))'`;
    const path = await makeMedia('-f', 'lavfi', '-i', uneven, '-fps_mode', 'vfr', ...x264, join(folder, 'uneven.mkv'));
    const { facts, frames } = await decodeClip(path);
    expect(facts).toMatchObject({ variableFrameRate: true, frameRate: { numerator: 30, denominator: 1 } });
    expect(facts.durationMs).toBeGreaterThan(1_900);
    expect(facts.durationMs).toBeLessThan(2_100);
    expect(frames).toHaveLength(facts.frameCount);
  });

  it.each([
    [120, 24],
    [240, 48],
  ])('A clip at %d frames per second keeps its rate.', async (rate, frameCount) => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      `testsrc2=s=128x96:r=${rate}:d=0.2`,
      ...x264,
      join(folder, 'fast.mp4'),
    );
    expect((await decodeClip(path)).facts).toMatchObject({
      variableFrameRate: false,
      frameRate: { numerator: rate, denominator: 1 },
      frameCount,
    });
  });

  it('Clips in AVI, WebM, MPEG-TS and animated GIF are decoded.', async () => {
    const folder = await temporaryFolder();
    const kinds = [
      ['a.avi', '-c:v', 'mpeg4'],
      ['b.webm', '-c:v', 'libvpx', '-deadline', 'realtime'],
      ['c.ts', ...x264],
      ['d.gif'],
    ] as const;
    for (const [name, ...encoding] of kinds) {
      const path = await makeMedia(
        '-f',
        'lavfi',
        '-i',
        'testsrc2=s=128x96:r=25:d=0.4',
        ...encoding,
        join(folder, name),
      );
      const { facts, frames } = await decodeClip(path);
      expect([name, facts.kind, facts.frameCount, frames.length]).toEqual([name, 'video', 10, 10]);
    }
  });
});

describe('Still images', () => {
  it.each([
    ['still.png', 'png'],
    ['still.jpg', 'mjpeg'],
    ['still.webp', 'webp'],
    ['%03d "still".png', 'png'],
  ])('The still %s is probed as one frame at 25 frames per second.', async (name, codec) => {
    const folder = await temporaryFolder();
    const path = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      halves,
      '-frames:v',
      '1',
      '-update',
      '1',
      '-f',
      name.endsWith('webp') ? 'webp' : 'image2',
      join(folder, name),
    );
    const decoded = await decodeClip(path);
    expect(decoded.facts).toMatchObject({
      kind: 'still',
      codec,
      frameCount: 1,
      frameRate: { numerator: 25, denominator: 1 },
      hasSound: false,
    });
    expect(lumaAt(decoded, 0.25, 0.5)).toBeGreaterThan(200);
    expect(lumaAt(decoded, 0.75, 0.5)).toBeLessThan(40);
  });
});
