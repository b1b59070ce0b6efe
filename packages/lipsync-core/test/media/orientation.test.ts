import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { colorAt, decodeClip } from './decoded-clip.ts';
import { makeMedia, temporaryFolder, x264 } from './make-media.ts';

/** Luma of the quarters of the upright picture: upper left, upper right, lower left, lower right. */
const quarters = [40, 90, 150, 210] as const;
const uprightWidth = 128;
const uprightHeight = 96;

/** Where the pixel of an upright picture is stored, by the EXIF standard; all as fractions. */
const storedPosition: Readonly<Record<number, (x: number, y: number) => readonly [number, number]>> = {
  1: (x, y) => [x, y],
  2: (x, y) => [1 - x, y],
  3: (x, y) => [1 - x, 1 - y],
  4: (x, y) => [x, 1 - y],
  5: (x, y) => [y, x],
  6: (x, y) => [y, 1 - x],
  7: (x, y) => [1 - y, 1 - x],
  8: (x, y) => [1 - y, x],
};

/** The picture that is stored for an orientation. */
function storedPicture(orientation: number): string {
  const isTransposed = orientation >= 5;
  const size = isTransposed ? `${uprightHeight}x${uprightWidth}` : `${uprightWidth}x${uprightHeight}`;
  const terms = quarters.map((luma, index) => {
    const [x, y] = storedPosition[orientation]?.(index % 2 === 0 ? 0.25 : 0.75, index < 2 ? 0.25 : 0.75) ?? [0, 0];
    return `${luma}*eq(gte(X\\,W/2)\\,${x > 0.5 ? 1 : 0})*eq(gte(Y\\,H/2)\\,${y > 0.5 ? 1 : 0})`;
  });
  return `color=black:s=${size}:r=25:d=0.2,format=yuv420p,geq=lum='${terms.join('+')}':cb=128:cr=128`;
}

async function expectUpright(path: string, orientation: number): Promise<void> {
  const decoded = await decodeClip(path);
  expect(decoded.facts).toMatchObject({ width: uprightWidth, height: uprightHeight, orientation });
  const isFullRange = decoded.facts.color.range === 'pc';
  quarters.forEach((luma, index) => {
    const [decodedLuma] = colorAt(decoded, index % 2 === 0 ? 0.25 : 0.75, index < 2 ? 0.25 : 0.75);
    const expected = isFullRange ? ((luma - 16) * 255) / 219 : luma;
    expect(Math.abs(decodedLuma - expected)).toBeLessThanOrEqual(4);
  });
}

/** EXIF data with an orientation as the second of two entries. */
function exifOf(orientation: number, byteOrder: 'II' | 'MM'): Buffer {
  const isLittle = byteOrder === 'II';
  const short = (value: number): Buffer => {
    const bytes = Buffer.alloc(2);
    if (isLittle) bytes.writeUInt16LE(value);
    else bytes.writeUInt16BE(value);
    return bytes;
  };
  const long = (value: number): readonly Buffer[] =>
    isLittle ? [short(value & 0xffff), short(value >>> 16)] : [short(value >>> 16), short(value & 0xffff)];
  const entry = (tag: number, value: number): readonly Buffer[] =>
    [short(tag), short(3), long(1), short(value), short(0)].flat();
  const header = [short(42), long(8), short(2)].flat();
  const entries = [...entry(0x0100, 640), ...entry(0x0112, orientation), ...long(0)];
  return Buffer.concat([Buffer.from(byteOrder), ...header, ...entries]);
}

function jpegWith(jpeg: Buffer, exif: Buffer): Buffer {
  const comment = Buffer.from('fffe000601020304', 'hex');
  const segment = Buffer.concat([Buffer.from('ffe10000', 'hex'), Buffer.from('Exif\0\0'), exif]);
  segment.writeUInt16BE(segment.length - 2, 2);
  return Buffer.concat([jpeg.subarray(0, 2), comment, segment, jpeg.subarray(2)]);
}

/** Behind the picture, where the chunk may be as well. */
function pngWith(png: Buffer, exif: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from('eXIf'), exif]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(exif.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  const end = png.length - 12;
  return Buffer.concat([png.subarray(0, end), frame.subarray(0, 4), body, frame.subarray(4), png.subarray(end)]);
}

function webpWith(webp: Buffer, exif: Buffer, { width, height }: Readonly<Record<'width' | 'height', number>>): Buffer {
  const chunk = (name: string, data: Buffer): Buffer => {
    const header = Buffer.alloc(8);
    header.write(name, 'latin1');
    header.writeUInt32LE(data.length, 4);
    return Buffer.concat([header, data, Buffer.alloc(data.length % 2)]);
  };
  const extended = Buffer.alloc(10);
  extended[0] = 8;
  extended.writeUIntLE(width - 1, 4, 3);
  extended.writeUIntLE(height - 1, 7, 3);
  const chunks = Buffer.concat([chunk('VP8X', extended), webp.subarray(12), chunk('EXIF', exif)]);
  const head = Buffer.from('RIFF0000WEBP');
  head.writeUInt32LE(chunks.length + 4, 4);
  return Buffer.concat([head, chunks]);
}

/** Writes a display matrix into the track header of an MP4, as phones do. */
async function writeMatrix(path: string, [a, b, c, d]: readonly [number, number, number, number]): Promise<void> {
  const bytes = await readFile(path);
  const matrix = bytes.indexOf('tkhd') + 44;
  [a * 0x10000, b * 0x10000, 0, c * 0x10000, d * 0x10000, 0].forEach((value, index) =>
    bytes.writeInt32BE(value, matrix + 4 * index),
  );
  await writeFile(path, bytes);
}

const orientations = [1, 2, 3, 4, 5, 6, 7, 8] as const;

describe('Orientation', () => {
  it.each(orientations)('Stills with the EXIF orientation %d are decoded upright.', async (orientation) => {
    const folder = await temporaryFolder();
    const isTransposed = orientation >= 5;
    const size = {
      width: isTransposed ? uprightHeight : uprightWidth,
      height: isTransposed ? uprightWidth : uprightHeight,
    };
    const [jpeg, png, webp] = ['a.jpg', 'b.png', 'c.webp'].map((name) => join(folder, name));
    const source = ['-f', 'lavfi', '-i', storedPicture(orientation)];
    const once = ['-frames:v', '1'];
    const forJpeg = [...once, '-q:v', '1', jpeg ?? ''];
    const forPng = [...once, '-pix_fmt', 'rgb24', png ?? ''];
    await makeMedia(...source, ...forJpeg, ...forPng, ...once, '-quality', '100', webp ?? '');
    const stills = [
      { path: jpeg ?? '', add: (bytes: Buffer) => jpegWith(bytes, exifOf(orientation, 'MM')) },
      { path: png ?? '', add: (bytes: Buffer) => pngWith(bytes, exifOf(orientation, 'II')) },
      { path: webp ?? '', add: (bytes: Buffer) => webpWith(bytes, exifOf(orientation, 'II'), size) },
    ];
    for (const { path, add } of stills) {
      await writeFile(path, add(await readFile(path)));
      await expectUpright(path, orientation);
    }
  });

  it.each<[number, readonly [number, number, number, number]]>([
    [2, [-1, 0, 0, 1]],
    [3, [-1, 0, 0, -1]],
    [4, [1, 0, 0, -1]],
    [5, [0, 1, 1, 0]],
    [6, [0, 1, -1, 0]],
    [7, [0, -1, -1, 0]],
    [8, [0, -1, 1, 0]],
  ])('A clip whose display matrix means orientation %d is decoded upright.', async (orientation, matrix) => {
    const folder = await temporaryFolder();
    const clip = await makeMedia('-f', 'lavfi', '-i', storedPicture(orientation), ...x264, join(folder, 'a.mp4'));
    await writeMatrix(clip, matrix);
    await expectUpright(clip, orientation);
  });
});
