import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canCopyVideo, planTimeline, probeClip } from '../../src/media/index.ts';
import { decodeClip, type DecodedClip } from './decoded-clip.ts';
import { limits, makeMedia, temporaryFolder } from './make-media.ts';

const firstX = 40;
const pixelsPerField = 6;

/** A white bar that moves between the two fields of each frame; rows count from 0, even ones are the top field. */
function movingBar(size: string, order: 'tff' | 'bff', mark: 'prog' | 'tff' | 'bff'): readonly string[] {
  const field = order === 'tff' ? 'mod(Y,2)' : '1-mod(Y,2)';
  const left = `(${firstX}+${pixelsPerField}*(2*N+${field}))`;
  const picture = `geq=lum='16+219*between(X,${left},${left}+60)':cb=128:cr=128`.replaceAll(',', '\\,');
  return ['-f', 'lavfi', '-i', `color=black:s=${size}:r=25:d=0.8,format=yuv420p,${picture},setfield=${mark}`];
}

/** Left edge of the bar in each row of a frame. */
function edgesOf({ facts, frames }: DecodedClip, frame: number): readonly number[] {
  const { width, height } = facts;
  const rows = Array.from({ length: height }, (_, row) => frames[frame]?.subarray(row * width, (row + 1) * width));
  return rows.map((row) => row?.findIndex((luma) => luma > 125) ?? NaN);
}

const interlacedX264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '8', '-flags', '+ildct+ilme'];
const mpeg2 = ['-c:v', 'mpeg2video', '-q:v', '2', '-flags', '+ildct+ilme'];
const prores = ['-c:v', 'prores_ks', '-flags', '+ildct'];

describe('Interlaced clips', () => {
  it.each<[string, 'tff' | 'bff', readonly string[], string]>([
    ['H.264 in MPEG-TS', 'tff', interlacedX264, 'a.ts'],
    ['H.264 in MP4', 'bff', interlacedX264, 'b.mp4'],
    ['MPEG-2 in Matroska', 'tff', mpeg2, 'c.mkv'],
    ['ProRes in MOV', 'tff', prores, 'd.mov'],
    ['MPEG-4 in AVI', 'bff', ['-c:v', 'mpeg4', '-q:v', '2', '-flags', '+ildct'], 'e.avi'],
    ['DV in MOV', 'bff', ['-c:v', 'dvvideo'], 'f.mov'],
  ])('Interlaced %s (%s) is deinterlaced to the time of the first field.', async (_, order, encoding, name) => {
    const size = name === 'f.mov' ? '720x576' : '400x96';
    const clip = await makeMedia(
      ...movingBar(size, order, order),
      ...encoding,
      '-top',
      order === 'tff' ? '1' : '0',
      join(await temporaryFolder(), name),
    );
    const decoded = await decodeClip(clip);
    expect(decoded.facts).toMatchObject({ interlacing: 'marked', frameRate: { numerator: 25, denominator: 1 } });
    expect(decoded.frames).toHaveLength(20);
    for (const frame of [1, 9, 17]) {
      const expected = firstX + pixelsPerField * 2 * frame;
      for (const edge of edgesOf(decoded, frame)) expect(Math.abs(edge - expected)).toBeLessThanOrEqual(2);
    }
    // What a vendor receives is rendered, because a copy would be interlaced.
    const timeline = planTimeline(decoded.facts, 800, { syncMode: 'cut_off' });
    expect(canCopyVideo({ ...decoded.facts, codec: 'h264', pixelFormat: 'yuv420p' }, timeline)).toBe(false);
  });

  it.each<['tff' | 'bff', string]>([
    ['tff', 'a.mp4'],
    ['bff', 'b.mkv'],
  ])('Interlaced frames (%s) that %s marks as progressive are recognized and deinterlaced.', async (order, name) => {
    const progressive = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '8'];
    const clip = await makeMedia(
      ...movingBar('400x480', order, 'prog'),
      ...progressive,
      join(await temporaryFolder(), name),
    );
    const decoded = await decodeClip(clip);
    expect(decoded.facts.interlacing).toBe(order === 'tff' ? 'top_first' : 'bottom_first');
    for (const edge of edgesOf(decoded, 9))
      expect(Math.abs(edge - firstX - pixelsPerField * 18)).toBeLessThanOrEqual(2);
  });

  it.each(['still.png', 'drawing.mov'])(
    'The rows of a PNG that are stored in passes are no fields: %s.',
    async (name) => {
      const source = ['-f', 'lavfi', '-i', 'testsrc2=s=128x96:r=25', '-frames:v', name.endsWith('png') ? '1' : '5'];
      const path = join(await temporaryFolder(), name);
      await makeMedia(...source, '-c:v', 'png', '-flags', '+ildct', path);
      expect((await probeClip(path, { limits })).interlacing).toBeUndefined();
    },
  );

  it('A test picture, whose fine patterns move as fields do, is not taken for interlaced.', async () => {
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25:d=1', '-c:v', 'libx264', '-preset', 'ultrafast'];
    const clip = await makeMedia(...picture, join(await temporaryFolder(), 'a.mp4'));
    expect((await decodeClip(clip)).facts.interlacing).toBeUndefined();
  });
});
