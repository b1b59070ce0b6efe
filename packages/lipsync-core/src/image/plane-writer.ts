import { maskCells, type MouthMask } from '../providers/wav2lip/picture/mouth-mask.ts';
import { createPlaneResampler, levelBits, type Plane, type PlaneMap, type PlaneTarget } from './resample-plane.ts';

/** Part of a picture, ends exclusive, all even. */
export interface PixelArea {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Blends resampled planes into an area of a picture's planes. Keeps its memory between frames. */
export interface PlaneWriter {
  /**
   * Says how much of each place of the area is to be replaced: the mask times `strength`. One share serves a square of
   * four pixels, which is fine enough for a soft mask; `map` leads from such squares to the mask's cells.
   */
  setCover(mask: MouthMask, map: PlaneMap, area: PixelArea, strength: number): void;
  /** Mixes `content` into `plane`, of which each square has `density × density` pixels. Returns the bytes written. */
  write(plane: Plane, content: Plane, map: PlaneMap, density: 1 | 2): number;
}

/** Shares of the content are counted in 4096ths; scaling a cover to them keeps 14 bits more. */
const shareBits = 12;
const coverShift = 14;
const half = 1 << (levelBits + shareBits - 1);

export function createPlaneWriter(): PlaneWriter {
  const resampler = createPlaneResampler();
  let left = 0;
  let top = 0;
  let columns = 0;
  let rows = 0;
  let shares = new Int16Array(0);
  let values = new Int16Array(0);
  let spans = new Int32Array(0);
  let fineSpans = new Int32Array(0);
  return {
    setCover(mask, map, area, strength) {
      left = area.left / 2;
      top = area.top / 2;
      columns = area.right / 2 - left;
      rows = area.bottom / 2 - top;
      if (shares.length < columns * rows) {
        shares = new Int16Array(columns * rows);
        values = new Int16Array(columns * rows * 4);
      }
      if (spans.length < rows * 2) {
        spans = new Int32Array(rows * 2);
        fineSpans = new Int32Array(rows * 4);
      }
      const cover: Plane = { data: mask.cover, start: 0, width: maskCells, height: maskCells };
      resampler.resample(cover, map, { values: shares, columns, rows }, 'linear');
      const scale = Math.round((Math.min(1, strength) * 2 ** (shareBits + coverShift)) / (255 << levelBits));
      for (let row = 0; row < rows; row += 1) {
        const { first, end } = scaleRow(shares, row * columns, columns, scale);
        spans[row * 2] = first;
        spans[row * 2 + 1] = end;
        for (let line = row * 2; line < row * 2 + 2; line += 1) {
          fineSpans[line * 2] = first * 2;
          fineSpans[line * 2 + 1] = end * 2;
        }
      }
    },
    write(plane, content, map, density) {
      const target: PlaneTarget = {
        values,
        columns: columns * density,
        rows: rows * density,
        spans: density === 1 ? spans : fineSpans,
      };
      resampler.resample(content, map, target, 'cubic');
      let written = 0;
      for (let row = 0; row < rows * density; row += 1) {
        const first = spans[(row >> (density - 1)) * 2] ?? 0;
        const end = spans[(row >> (density - 1)) * 2 + 1] ?? 0;
        const start = plane.start + (top * density + row) * plane.width + left * density;
        mixRow(
          plane.data,
          start,
          values,
          row * target.columns,
          shares,
          (row >> (density - 1)) * columns,
          first,
          end,
          density,
        );
        written += (end - first) * density;
      }
      return written;
    },
  };
}

/** KeyedMutex a row of covers into shares, and finds where it has any. */
function scaleRow(
  shares: Int16Array,
  start: number,
  columns: number,
  scale: number,
): { readonly first: number; readonly end: number } {
  let first = columns;
  let end = 0;
  for (let column = 0; column < columns; column += 1) {
    const share = Math.imul(shares[start + column] ?? 0, scale) >> coverShift;
    shares[start + column] = share;
    if (share === 0) continue;
    first = Math.min(first, column);
    end = column + 1;
  }
  return { first: Math.min(first, end), end };
}

/** Mixes a row of content into a plane, square by square. */
function mixRow(
  data: Uint8Array,
  start: number,
  values: Int16Array,
  valueStart: number,
  shares: Int16Array,
  shareStart: number,
  first: number,
  end: number,
  density: 1 | 2,
): void {
  for (let square = first; square < end; square += 1) {
    const share = shares[shareStart + square] ?? 0;
    for (let pixel = square * density; pixel < (square + 1) * density; pixel += 1) {
      const before = data[start + pixel] ?? 0;
      const level =
        before +
        ((Math.imul((values[valueStart + pixel] ?? 0) - (before << levelBits), share) + half) >>
          (levelBits + shareBits));
      data[start + pixel] = level < 0 ? 0 : level > 255 ? 255 : level;
    }
  }
}
