import { crc32, deflateSync } from 'node:zlib';

/** A picture of `width × height × 3` bytes, rows from the top. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** 8 bits per channel, RGB, deflate, no interlacing. */
const format = [8, 2, 0, 0, 0];
/** Each byte is stored as the difference to the pixel on its left. */
const subFilter = 1;

/** Encodes a picture as PNG (ISO/IEC 15948). */
export function encodePng({ width, height, rgb }: RgbImage): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set(format, 8);
  const stride = width * 3;
  const rows = Buffer.alloc((stride + 1) * height);
  for (let row = 0; row < height; row += 1) {
    const target = row * (stride + 1);
    rows[target] = subFilter;
    for (let index = 0; index < stride; index += 1) {
      const left = index < 3 ? 0 : (rgb[row * stride + index - 3] ?? 0);
      rows[target + 1 + index] = (rgb[row * stride + index] ?? 0) - left;
    }
  }
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}
