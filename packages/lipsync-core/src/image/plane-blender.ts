import { AffineResampler, valueFractionBits, type ResampleTarget } from './affine-resampler.ts';
import type { AffineTransform, PixelArea, Plane } from './planes.ts';

/** Alpha is fixed point in 1/4096. Scaling a mask to it keeps 14 more bits. */
const alphaBits = 12;
const maskScaleBits = 14;
const half = 1 << (valueFractionBits + alphaBits - 1);

/** Blends resampled planes into an area of a picture's planes. Keeps its memory between frames. */
export class PlaneBlender {
  readonly #resampler = new AffineResampler();
  /** The area in chroma pixels. */
  #left = 0;
  #top = 0;
  #columns = 0;
  #rows = 0;
  #alpha = new Int16Array(0);
  #values = new Int16Array(0);
  /** Columns with alpha above 0 in each row: at chroma and at luma resolution. */
  #chromaSpans = new Int32Array(0);
  #lumaSpans = new Int32Array(0);

  /**
   * Sets the alpha of each pixel of `area`: `mask` (0–255) times `strength` (0–1). One alpha value serves a block of 2
   * × 2 luma pixels, which is fine enough for a soft mask; `transform` leads from these blocks to the mask.
   */
  setAlpha(mask: Plane, transform: AffineTransform, area: PixelArea, strength: number): void {
    this.#left = area.left / 2;
    this.#top = area.top / 2;
    this.#columns = area.right / 2 - this.#left;
    this.#rows = area.bottom / 2 - this.#top;
    this.#allocate();
    const columns = this.#columns;
    this.#resampler.resample(mask, transform, { values: this.#alpha, columns, rows: this.#rows }, 'linear');
    const scale = Math.round((Math.min(1, strength) * 2 ** (alphaBits + maskScaleBits)) / (255 << valueFractionBits));
    for (let row = 0; row < this.#rows; row += 1) this.#scaleAlphaRow(row, scale);
  }

  /**
   * Blends `content` into `plane`, which has `pixelsPerBlock²` pixels per block. Returns the number of bytes written.
   */
  blend(plane: Plane, content: Plane, transform: AffineTransform, pixelsPerBlock: 1 | 2): number {
    const target: ResampleTarget = {
      values: this.#values,
      columns: this.#columns * pixelsPerBlock,
      rows: this.#rows * pixelsPerBlock,
      spans: pixelsPerBlock === 1 ? this.#chromaSpans : this.#lumaSpans,
    };
    this.#resampler.resample(content, transform, target, 'cubic');
    let written = 0;
    for (let row = 0; row < target.rows; row += 1) written += this.#blendRow(plane, row, pixelsPerBlock);
    return written;
  }

  #allocate(): void {
    const blocks = this.#columns * this.#rows;
    if (this.#alpha.length < blocks) {
      this.#alpha = new Int16Array(blocks);
      this.#values = new Int16Array(blocks * 4);
    }
    if (this.#chromaSpans.length < this.#rows * 2) {
      this.#chromaSpans = new Int32Array(this.#rows * 2);
      this.#lumaSpans = new Int32Array(this.#rows * 4);
    }
  }

  /** Scales one row of mask values to alpha and records its span. */
  #scaleAlphaRow(row: number, scale: number): void {
    const alpha = this.#alpha;
    const columns = this.#columns;
    const start = row * columns;
    let first = columns;
    let end = 0;
    for (let column = 0; column < columns; column += 1) {
      const value = Math.imul(alpha[start + column] ?? 0, scale) >> maskScaleBits;
      alpha[start + column] = value;
      if (value === 0) continue;
      first = Math.min(first, column);
      end = column + 1;
    }
    first = Math.min(first, end);
    this.#chromaSpans[row * 2] = first;
    this.#chromaSpans[row * 2 + 1] = end;
    for (let line = row * 2; line < row * 2 + 2; line += 1) {
      this.#lumaSpans[line * 2] = first * 2;
      this.#lumaSpans[line * 2 + 1] = end * 2;
    }
  }

  #blendRow(plane: Plane, row: number, pixelsPerBlock: 1 | 2): number {
    const { data } = plane;
    const alpha = this.#alpha;
    const values = this.#values;
    const blockRow = row >> (pixelsPerBlock - 1);
    const first = this.#chromaSpans[blockRow * 2] ?? 0;
    const end = this.#chromaSpans[blockRow * 2 + 1] ?? 0;
    const start = plane.start + (this.#top * pixelsPerBlock + row) * plane.width + this.#left * pixelsPerBlock;
    const valueStart = row * this.#columns * pixelsPerBlock;
    const alphaStart = blockRow * this.#columns;
    for (let block = first; block < end; block += 1) {
      const share = alpha[alphaStart + block] ?? 0;
      for (let pixel = block * pixelsPerBlock; pixel < (block + 1) * pixelsPerBlock; pixel += 1) {
        const before = data[start + pixel] ?? 0;
        const difference = (values[valueStart + pixel] ?? 0) - (before << valueFractionBits);
        const level = before + ((Math.imul(difference, share) + half) >> (valueFractionBits + alphaBits));
        data[start + pixel] = level < 0 ? 0 : level > 255 ? 255 : level;
      }
    }
    return (end - first) * pixelsPerBlock;
  }
}
