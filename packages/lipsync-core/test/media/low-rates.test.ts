import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canCopyVideo, planTimeline } from '../../src/media/index.ts';
import { decodeClip } from './decoded-clip.ts';
import { makeMedia, numberOf, temporaryFolder, x264 } from './make-media.ts';

/** Frame n has the luma 16 + 4 × n. */
function numbered(rate: string, frameCount: number): readonly string[] {
  const source = `nullsrc=s=96x64:r=${rate},geq=lum='16+4*N':cb=128:cr=128,format=yuv420p`;
  return ['-f', 'lavfi', '-i', source, '-frames:v', String(frameCount)];
}

describe('Clips below 20 frames per second', () => {
  it.each<[string, number, number, string, readonly string[]]>([
    ['1', 3, 25, 'a.mp4', x264],
    ['5', 10, 25, 'b.mkv', x264],
    ['10', 12, 30, 'c.avi', ['-c:v', 'mpeg4', '-q:v', '1']],
    ['12', 12, 36, 'd.ts', x264],
    ['15', 12, 30, 'e.webm', ['-c:v', 'libvpx', '-deadline', 'realtime', '-b:v', '2M']],
    ['15000/1001', 12, 29.97, 'f.mov', x264],
  ])(
    'A clip at %s frames per second repeats each frame equally often.',
    async (rate, count, raised, name, encoding) => {
      const clip = await makeMedia(...numbered(rate, count), ...encoding, join(await temporaryFolder(), name));
      const { facts, frames } = await decodeClip(clip);
      const { numerator, denominator } = facts.frameRate;
      expect(numerator / denominator).toBeCloseTo(raised, 2);
      const [dividend = 1, divisor = 1] = rate.split('/').map(Number);
      expect(facts.lowFrameRate).toBeCloseTo(dividend / divisor, 2);
      const repeats = Math.round((raised * divisor) / dividend);
      const expected = Array.from({ length: count * repeats }, (_, index) => Math.floor(index / repeats));
      expect(frames.map(numberOf)).toEqual(expected);
      const timeline = planTimeline(facts, facts.durationMs, { syncMode: 'loop' });
      expect(canCopyVideo({ ...facts, codec: 'h264', pixelFormat: 'yuv420p' }, timeline)).toBe(false);
    },
  );

  it('A clip with a variable and low rate is decoded at 25 frames per second.', async () => {
    const uneven = [...numbered('10', 14), '-vf', `select='not(eq(mod(n\\,4)\\,1))'`, '-fps_mode', 'vfr'];
    const clip = await makeMedia(...uneven, ...x264, join(await temporaryFolder(), 'uneven.mkv'));
    const { facts, frames } = await decodeClip(clip);
    expect(facts).toMatchObject({ frameRate: { numerator: 25, denominator: 1 }, variableFrameRate: true });
    // Frame 1 is missing, so that frame 0 is shown for 200 ms.
    expect([0, 4, 5, 7, 8].map((index) => numberOf(frames[index] ?? new Uint8Array()))).toEqual([0, 0, 2, 2, 3]);
  });
});
