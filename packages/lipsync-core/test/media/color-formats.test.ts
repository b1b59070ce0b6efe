import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { colorAt, decodeClip, type PixelColor } from './decoded-clip.ts';
import { makeMedia, temporaryFolder } from './make-media.ts';

/** One frame in which every pixel has this code in a format with `bits` per sample. */
function uniform(pixelFormat: string, [luma, cb, cr]: PixelColor, bits = 8): readonly string[] {
  const scale = 2 ** (bits - 8);
  const planes = `lum=${luma * scale}:cb=${cb * scale}:cr=${cr * scale}`;
  return ['-f', 'lavfi', '-i', `color=black:s=96x96:r=25:d=0.12,format=${pixelFormat},geq=${planes}`];
}

const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '1'];
const x265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none', '-crf', '1'];
const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-crf', '2', '-b:v', '0'];
const prores = ['-c:v', 'prores_ks'];
const stored: PixelColor = [90, 110, 150];
const bt2020 = ['-colorspace', 'bt2020nc', '-color_primaries', 'bt2020', '-color_trc', 'bt2020-10'];

describe('Color of clips', () => {
  it.each<[string, readonly string[], readonly string[], object]>([
    ['a.mp4', uniform('yuv420p', stored), [...x264, '-color_range', 'pc'], { range: 'pc' }],
    ['b.webm', uniform('yuv420p', stored), [...vp9, '-color_range', 'pc'], { range: 'pc' }],
    ['c.mov', uniform('yuv444p', stored), [...x264, '-colorspace', 'bt470bg'], { space: 'bt470bg' }],
    ['d.mkv', uniform('yuv420p10le', stored, 10), [...x265, ...bt2020], { space: 'bt2020nc', primaries: 'bt2020' }],
    ['e.mkv', uniform('yuv420p12le', stored, 12), [...x265, '-colorspace', 'smpte170m'], { space: 'smpte170m' }],
    ['f.mov', uniform('yuv422p10le', stored, 10), prores, {}],
    ['g.mkv', uniform('yuv411p', stored), ['-c:v', 'ffv1'], {}],
  ])('%s keeps the stored YUV within two levels, with its tags.', async (name, source, encoding, tags) => {
    const decoded = await decodeClip(await makeMedia(...source, ...encoding, join(await temporaryFolder(), name)));
    expect(decoded.facts.color).toMatchObject(tags);
    colorAt(decoded, 0.5, 0.5).forEach((value, plane) =>
      expect(Math.abs(value - (stored[plane] ?? NaN))).toBeLessThanOrEqual(2),
    );
  });

  it.each<[string, readonly string[]]>([
    ['a.mkv', ['-c:v', 'libx264rgb', '-preset', 'ultrafast', '-crf', '1']],
    ['b.mp4', [...x265, '-pix_fmt', 'gbrp']],
    ['c.avi', ['-c:v', 'rawvideo', '-pix_fmt', 'bgr24']],
    ['d.png', ['-frames:v', '1', '-pix_fmt', 'rgb48be']],
  ])('RGB in %s becomes limited BT.709 by the equation of the standard.', async (name, encoding) => {
    const source = ['-f', 'lavfi', '-i', 'color=0xC87864:s=96x96:r=25:d=0.12,format=gbrp'];
    const decoded = await decodeClip(await makeMedia(...source, ...encoding, join(await temporaryFolder(), name)));
    // Red 200, green 120, blue 100.
    [132.4, 111.2, 163.9].forEach((value, plane) =>
      expect(Math.abs((colorAt(decoded, 0.5, 0.5)[plane] ?? NaN) - value)).toBeLessThanOrEqual(2),
    );
  });
});
