import { AffineResampler } from '../../image/affine-resampler.ts';
import type { PixelArea, Plane } from '../../image/planes.ts';
import { levelPerUnit, type PatchPlacement } from './face-patch.ts';

/** Pixels per cell of a patch: the eyes are 96 pixels apart, as when a face fills a third of a 720p picture. */
const pixelsPerCell = 2;

/** Small details of the mouth and of the eyes, in levels. */
export interface FaceDetail {
  readonly mouth: number;
  readonly eyes: number;
}

/** Measures small details of faces at one scale. Keeps its memory between calls. */
export class DetailReader {
  readonly #resampler = new AffineResampler();
  #values = new Int16Array(0);

  /** Reads the details of a face in a luma plane. */
  read(luma: Plane, placement: PatchPlacement): FaceDetail {
    return {
      mouth: this.#measure(luma, placement, placement.mouth),
      eyes: this.#measure(luma, placement, placement.eyes),
    };
  }

  /** Mean absolute Laplacian of a zone: what a blur removes first. */
  #measure(luma: Plane, { transform }: PatchPlacement, zone: Readonly<PixelArea>): number {
    const columns = (zone.right - zone.left) * pixelsPerCell;
    const rows = (zone.bottom - zone.top) * pixelsPerCell;
    if (columns < 3 || rows < 3) return NaN;
    const step = transform.acrossX / pixelsPerCell;
    if (this.#values.length < columns * rows) this.#values = new Int16Array(columns * rows);
    const values = this.#values;
    const x = transform.x + zone.left * transform.acrossX;
    const y = transform.y + zone.top * transform.acrossX;
    const window = { x, y, acrossX: step, acrossY: 0, downX: 0, downY: step };
    this.#resampler.resample(luma, window, { values, columns, rows }, 'linear');
    let sum = 0;
    for (let row = 1; row < rows - 1; row += 1)
      for (let index = row * columns + 1; index < (row + 1) * columns - 1; index += 1) {
        const sides = (values[index - 1] ?? 0) + (values[index + 1] ?? 0);
        const ends = (values[index - columns] ?? 0) + (values[index + columns] ?? 0);
        sum += Math.abs(4 * (values[index] ?? 0) - sides - ends);
      }
    return (sum * levelPerUnit) / ((columns - 2) * (rows - 2));
  }
}
