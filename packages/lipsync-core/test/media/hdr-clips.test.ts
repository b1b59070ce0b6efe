import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { colorAt, decodeClip, type PixelColor } from './decoded-clip.ts';
import { makeMedia, temporaryFolder } from './make-media.ts';

type Rgb = readonly [red: number, green: number, blue: number];
type Transfer = 'smpte2084' | 'arib-std-b67';

/** Light of SDR white within HDR in cd/m², by ITU-R BT.2408. */
const whiteNits = 203;

/** R'G'B' of an SDR picture, 0–1: skin, a gray wall and shade. */
const mutedColors: readonly Rgb[] = [
  [0.78, 0.6, 0.5],
  [0.5, 0.5, 0.5],
  [0.1, 0.08, 0.06],
];
/** Lips and cloth. */
const saturatedColors: readonly Rgb[] = [
  [0.6, 0.25, 0.25],
  [0.1, 0.3, 0.55],
];

/** BT.709 to BT.2020 in linear light, by ITU-R BT.2087. */
const toBt2020 = [
  [0.6274, 0.3293, 0.0433],
  [0.0691, 0.9195, 0.0114],
  [0.0164, 0.088, 0.8956],
] as const;

function mapRgb([red, green, blue]: Rgb, convert: (value: number) => number): Rgb {
  return [convert(red), convert(green), convert(blue)];
}

/** PQ by SMPTE ST 2084, from cd/m² to 0–1. */
function encodePq(nits: number): number {
  const power = (nits / 10_000) ** 0.1593017578125;
  return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375;
}

/** HLG by ARIB STD-B67, from light in the scene to 0–1. */
function encodeHlg(light: number): number {
  return light <= 1 / 12 ? Math.sqrt(3 * light) : 0.17883277 * Math.log(12 * light - 0.28466892) + 0.55991073;
}

function lumaOfLight([red, green, blue]: Rgb): number {
  return 0.2627 * red + 0.678 * green + 0.0593 * blue;
}

/** 10-bit Y'CbCr in BT.2020 that a display shows like the SDR color, with white at 203 cd/m². */
function encodeHdr(sdr: Rgb, transfer: Transfer): PixelColor {
  const light = mapRgb(sdr, (value) => whiteNits * value ** 2.4);
  const nits: Rgb = [0, 1, 2].map((row) =>
    light.reduce((sum, value, column) => sum + value * (toBt2020[row]?.[column] ?? 0), 0),
  ) as unknown as Rgb;
  // A display of 1000 cd/m² has a system gamma of 1.2 on luminance.
  const displayShare = lumaOfLight(nits) / 1_000;
  const sceneScale = displayShare ** (1 / 1.2 - 1) / 1_000;
  const encoded = mapRgb(nits, (value) => (transfer === 'smpte2084' ? encodePq(value) : encodeHlg(value * sceneScale)));
  const luma = lumaOfLight(encoded);
  const [red, , blue] = encoded;
  return [64 + 876 * luma, 512 + (896 * (blue - luma)) / 1.8814, 512 + (896 * (red - luma)) / 1.4746];
}

function encodeSdr([red, green, blue]: Rgb): PixelColor {
  const luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return [16 + 219 * luma, 128 + (224 * (blue - luma)) / 1.8556, 128 + (224 * (red - luma)) / 1.5748];
}

/** Columns of one color each. */
function columnsOf(colors: readonly PixelColor[]): string {
  const columnOf = (plane: 0 | 1 | 2): string =>
    colors.map((color, index) => `eq(floor(X*${colors.length}/W)\\,${index})*${color[plane].toFixed(2)}`).join('+');
  const planes = `lum='round(${columnOf(0)})':cb='round(${columnOf(1)})':cr='round(${columnOf(2)})'`;
  return `color=black:s=160x64:r=25:d=0.12,format=yuv444p10le,geq=${planes}`;
}

const x265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none', '-crf', '4'];
const prores = ['-c:v', 'prores_ks', '-profile:v', '4', '-pix_fmt', 'yuv444p10le'];
const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-crf', '4', '-b:v', '0'];
const tenBit = ['-pix_fmt', 'yuv420p10le'];
const complete = ['-color_primaries', 'bt2020', '-colorspace', 'bt2020nc', '-color_range', 'tv'];

describe('HDR clips', () => {
  it.each<[string, Transfer, readonly string[], string]>([
    ['HLG with all tags in HEVC', 'arib-std-b67', [...x265, ...tenBit, ...complete], 'a.mov'],
    ['HLG with the transfer tag only in HEVC', 'arib-std-b67', [...x265, ...tenBit], 'b.ts'],
    ['HLG without a matrix in ProRes', 'arib-std-b67', [...prores, '-color_primaries', 'bt2020'], 'c.mov'],
    ['PQ with the transfer tag only in VP9', 'smpte2084', [...vp9, ...tenBit], 'd.webm'],
    [
      'PQ without primaries in HEVC with 12 bits',
      'smpte2084',
      [...x265, '-pix_fmt', 'yuv444p12le', '-colorspace', 'bt2020nc'],
      'e.mkv',
    ],
  ])('%s is decoded as bright and as colorful as its SDR version.', async (_, transfer, encoding, name) => {
    const folder = await temporaryFolder();
    // zscale applies the system gamma of HLG to each channel instead of to luminance, which changes saturated colors.
    const colors = transfer === 'smpte2084' ? [...mutedColors, ...saturatedColors] : mutedColors;
    const source = columnsOf(colors.map((color) => encodeHdr(color, transfer)));
    const clip = join(folder, name);
    const tags = `setparams=color_trc=${transfer}`;
    await makeMedia('-f', 'lavfi', '-i', source, '-vf', tags, ...encoding, '-color_trc', transfer, clip);
    const decoded = await decodeClip(clip);
    expect(decoded.facts).toMatchObject({
      hdr: { primaries: 'bt2020', transfer, space: 'bt2020nc', range: 'tv' },
      color: { primaries: 'bt709', transfer: 'bt709', space: 'bt709', range: 'tv' },
    });
    colors.forEach((color, index) => {
      const [luma, cb, cr] = colorAt(decoded, (index + 0.5) / colors.length, 0.5);
      const [expectedLuma, expectedCb, expectedCr] = encodeSdr(color);
      expect.soft(Math.abs(luma - expectedLuma), `luma of color ${index}`).toBeLessThanOrEqual(4);
      expect.soft(Math.abs(cb - expectedCb), `Cb of color ${index}`).toBeLessThanOrEqual(4);
      expect.soft(Math.abs(cr - expectedCr), `Cr of color ${index}`).toBeLessThanOrEqual(4);
    });
  });

  it('Highlights above SDR white keep their order instead of being cut off.', async () => {
    const folder = await temporaryFolder();
    const grays = [0.9, 1, 1.3, 1.7].map((value): Rgb => [value, value, value]);
    const source = columnsOf(grays.map((color) => encodeHdr(color, 'smpte2084')));
    const clip = join(folder, 'highlights.mp4');
    await makeMedia('-f', 'lavfi', '-i', source, ...x265, ...tenBit, ...complete, '-color_trc', 'smpte2084', clip);
    const decoded = await decodeClip(clip);
    const lumas = grays.map((_, index) => colorAt(decoded, (index + 0.5) / grays.length, 0.5)[0]);
    expect(lumas[1]).toBeGreaterThan(215);
    expect(lumas).toEqual(lumas.toSorted((a, b) => a - b));
    expect(new Set(lumas).size).toBe(grays.length);
    expect(lumas[3]).toBeLessThanOrEqual(237);
  });
});
