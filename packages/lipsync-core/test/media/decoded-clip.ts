import { openFrames, probeClip, type ClipFacts } from '../../src/media/index.ts';
import { limits } from './make-media.ts';

export interface DecodedClip {
  readonly facts: ClipFacts;
  readonly frames: readonly Uint8Array[];
}

/** Decodes all frames of a small clip or still. */
export async function decodeClip(path: string): Promise<DecodedClip> {
  const facts = await probeClip(path, { limits });
  const frames: Uint8Array[] = [];
  for await (const { data } of openFrames({ path, facts, range: { start: 0, end: facts.frameCount } }))
    frames.push(data.slice());
  return { facts, frames };
}

export type PixelColor = readonly [luma: number, cb: number, cr: number];

/** The color at a position that is given as fractions of width and height. */
export function colorAt({ facts, frames }: DecodedClip, x: number, y: number, frame = 0): PixelColor {
  const { width, height } = facts;
  const data = frames[frame] ?? new Uint8Array();
  const [column, row] = [Math.floor(x * width), Math.floor(y * height)];
  const chroma = (row >> 1) * (width >> 1) + (column >> 1);
  const cb = width * height;
  const cr = cb + (width * height) / 4;
  return [data[row * width + column] ?? NaN, data[cb + chroma] ?? NaN, data[cr + chroma] ?? NaN];
}
