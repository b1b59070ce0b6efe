import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listClipWarnings } from '../../src/jobs/input-warnings.ts';
import { colorAt, decodeClip } from './decoded-clip.ts';
import { limits, makeMedia, temporaryFolder, x264 } from './make-media.ts';
import { probeClip } from '../../src/media/index.ts';

/**
 * Left third: opaque (200, 120, 100). Middle: the same at half opacity. Right third: fully transparent over bright
 * green, which must stay hidden.
 */
const [columns, colors] = ['floor(3*X/W)', { red: [200, 200, 0], green: [120, 120, 255], blue: [100, 100, 0] }];
const step = ([first, second, third]: readonly number[]): string =>
  `'${first}*eq(${columns},0)+${second}*eq(${columns},1)+${third}*eq(${columns},2)'`.replaceAll(',', '\\,');
const planes = `r=${step(colors.red)}:g=${step(colors.green)}:b=${step(colors.blue)}:a=${step([255, 128, 0])}`;
const source = ['-f', 'lavfi', '-i', `color=gray:s=192x96:r=25:d=0.2,format=rgba,geq=${planes}`];
const once = ['-frames:v', '1'];

/** Y'CbCr of the opaque color in BT.601 and BT.709, limited range, by the equations of the standards. */
const bt601 = [0.299, 0.587, 0.114] as const;
const bt709 = [0.2126, 0.7152, 0.0722] as const;
function toYuv([red, green, blue]: readonly [number, number, number], weights: typeof bt601 | typeof bt709) {
  const luma = weights[0] * red + weights[1] * green + weights[2] * blue;
  return [
    16 + (219 / 255) * luma,
    128 + ((224 / 255) * (blue - luma)) / (2 * (1 - weights[2])),
    128 + ((224 / 255) * (red - luma)) / (2 * (1 - weights[0])),
  ] as const;
}
const opaque = [200, 120, 100] as const;
const half = [(200 * 128) / 255, (120 * 128) / 255, (100 * 128) / 255] as const;

describe('Transparent pictures', () => {
  // ffmpeg converts the RGB of these inputs with BT.601, unless the file stores RGB.
  it.each<[string, typeof bt601 | typeof bt709, readonly string[]]>([
    ['a.webm', bt601, ['-c:v', 'libvpx', '-pix_fmt', 'yuva420p', '-auto-alt-ref', '0', '-crf', '4', '-b:v', '2M']],
    ['b.mkv', bt601, ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuva420p', '-deadline', 'realtime', '-crf', '4', '-b:v', '0']],
    ['c.mov', bt601, ['-c:v', 'prores_ks', '-profile:v', '4444', '-pix_fmt', 'yuva444p10le']],
    ['d.mov', bt709, ['-c:v', 'qtrle', '-pix_fmt', 'argb']],
    ['e.png', bt709, once],
    ['f.png', bt709, [...once, '-pix_fmt', 'rgba64be']],
    ['g.webp', bt601, [...once, '-c:v', 'libwebp', '-quality', '100', '-pix_fmt', 'yuva420p']],
    ['h.webp', bt709, [...once, '-c:v', 'libwebp', '-lossless', '1', '-pix_fmt', 'bgra']],
    ['i.png', bt709, [...once, '-f', 'apng']],
  ])('%s is composited on black and its hidden colors are not shown.', async (name, weights, encoding) => {
    const path = await makeMedia(...source, ...encoding, join(await temporaryFolder(), name));
    const decoded = await decodeClip(path);
    expect(decoded.facts.transparent).toBe(true);
    expect(listClipWarnings(decoded.facts).map(({ code }) => code)).toEqual(['transparent_picture']);
    const expected = [toYuv(opaque, weights), toYuv(half, weights), [16, 128, 128]];
    expected.forEach((color, column) => {
      const actual = colorAt(decoded, (column + 0.5) / 3, 0.5);
      color.forEach((value, plane) =>
        expect
          .soft(Math.abs((actual[plane] ?? NaN) - value), `plane ${plane} of column ${column}`)
          .toBeLessThanOrEqual(4),
      );
    });
  });

  it.each([['a.gif'], ['b.png']])('The palette of %s may contain a transparent color.', async (name) => {
    const palette = 'split[a][b];[a]palettegen[p];[b][p]paletteuse';
    const onePicture = name.endsWith('png') ? once : [];
    const path = await makeMedia(...source, '-vf', palette, ...onePicture, join(await temporaryFolder(), name));
    const decoded = await decodeClip(path);
    expect(decoded.facts.transparent).toBe(true);
    expect(colorAt(decoded, 5 / 6, 0.5)).toEqual([16, 128, 128]);
  });

  it('Images that could be transparent but are not, and clips without transparency, have no warning.', async () => {
    const folder = await temporaryFolder();
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=96x96:r=25:d=0.2'];
    const paths = [
      await makeMedia(...picture, ...once, '-pix_fmt', 'rgba', join(folder, 'a.png')),
      await makeMedia(...picture, join(folder, 'b.gif')),
      await makeMedia(...picture, ...x264, join(folder, 'c.mp4')),
      await makeMedia(...picture, '-c:v', 'libvpx-vp9', '-deadline', 'realtime', join(folder, 'd.webm')),
    ];
    for (const path of paths) expect(listClipWarnings(await probeClip(path, { limits }))).toEqual([]);
  });

  it('An animated WebP is refused with its own reason.', async () => {
    const path = await makeMedia(...source, '-c:v', 'libwebp_anim', join(await temporaryFolder(), 'a.webp'));
    await expect(probeClip(path, { limits })).rejects.toMatchObject({
      code: 'clip_unusable',
      message: expect.stringContaining('Animated WebP'),
    });
  });
});
