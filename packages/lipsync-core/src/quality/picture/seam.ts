import type { QualityRange } from '../../contract/quality.ts';
import { at } from '../../image/math.ts';
import type { PixelArea } from '../../image/planes.ts';
import { findRuns } from '../labels.ts';
import { medianOf } from '../statistics.ts';
import { levelPerUnit, patchSide, type FacePatch } from './face-patch.ts';

/** Cells along an edge. A seam is straight over this length. */
const runCells = 16;
const runStep = 4;
const runsPerLine = Math.floor((patchSide - runCells) / runStep) + 1;
const edgesPerDirection = patchSide * runsPerLine;
const edgeCount = 2 * edgesPerDirection;
const channels = ['luma', 'cb', 'cr'] as const;
/** The edge that decides, strongest first. The border of a redrawn area has more, a chance edge fewer. */
const rank = 12;
/**
 * Rows of the eyes and the forehead, which providers leave unchanged, and the rank there. An encoder adds edges there
 * too.
 */
const upperRows = 34;
const upperRank = 4;
/** An edge of the source that lies within these lines may have moved with the jaw. */
const movedLines = [-6, -4, -2, 0, 2, 4, 6] as const;
/** Share of the contrast of such an edge that a step must exceed. */
const movedShare = 0.5;
/** Pictures of about a second. Single pictures of fast motion show edges by chance, three of five do not. */
const passagePictures = 5;
/** Share of the pictures in which a seam that comes and goes may be missing. */
const flickeringShare = 0.8;

/**
 * Measures the step at the border of a redrawn area: the difference between take and source begins within two cells,
 * equally along a straight line, where the source has no edge, and higher than in the upper face. Soft borders give
 * little, and so do a jaw and details that moved.
 */
export class SeamMeter {
  readonly #difference = new Float32Array(patchSide * patchSide);
  readonly #steps = new Float32Array(patchSide);
  /** Height of each edge in the current channel, and the sum of squares over the channels. */
  readonly #heights = new Float32Array(edgeCount);
  readonly #squares = new Float32Array(edgeCount);
  /** Mean of the source along each edge. */
  readonly #sourceMeans = new Float32Array(edgeCount);
  /** Height of the seam per picture, with its time. */
  readonly #seams: { readonly timeMs: number; readonly height: number }[] = [];

  /** Adds two patches of one placement. `lips` is ignored, because speech changes it. */
  add(timeMs: number, { take, source }: PatchPair, lips: Readonly<PixelArea>): void {
    this.#squares.fill(0);
    for (const name of channels) {
      const [a, b] = [take[name], source[name]];
      for (let cell = 0; cell < a.length; cell += 1)
        this.#difference[cell] = ((a[cell] ?? 0) - (b[cell] ?? 0)) * levelPerUnit;
      for (const direction of [across, down]) {
        this.#averageSource(b, direction);
        this.#measure(direction);
        this.#dropMovedEdges(direction);
      }
      for (let edge = 0; edge < edgeCount; edge += 1)
        this.#squares[edge] = at(this.#squares, edge) + at(this.#heights, edge) ** 2;
    }
    const [lower, upper] = [this.#rankedHeight(isLowerFace(lips), rank), this.#rankedHeight(isUpperFace, upperRank)];
    this.#seams.push({ timeMs, height: Math.max(0, lower - upper) });
  }

  /** Height of the edge with a rank among those that pass. */
  #rankedHeight(passes: (edge: number) => boolean, place: number): number {
    // The highest squares so far, lowest first.
    const highest = new Float32Array(place + 1);
    for (let edge = 0; edge < edgeCount; edge += 1) {
      const square = at(this.#squares, edge);
      if (square <= at(highest, 0) || !passes(edge)) continue;
      let position = 0;
      for (; position < place && at(highest, position + 1) < square; position += 1)
        highest[position] = at(highest, position + 1);
      highest[position] = square;
    }
    return Math.sqrt(at(highest, 0));
  }

  /**
   * Height of the seam in levels of luma and chroma: the median of the second in which it is most visible, or what a
   * fifth of the pictures exceed, whichever is more. NaN without pictures.
   */
  finish(): number {
    const heights = this.#seams.map(({ height }) => height);
    const starts = Math.max(1, heights.length - passagePictures + 1);
    const passages = Array.from({ length: starts }, (_, start) =>
      medianOf(heights.slice(start, start + passagePictures)),
    );
    const sorted = heights.toSorted((first, second) => first - second);
    return Math.max(...passages, sorted[Math.floor(flickeringShare * sorted.length)] ?? NaN);
  }

  /** Where the seam is higher than a threshold, bridged over less than a second. */
  visibleRanges(threshold: number): QualityRange[] {
    const isVisible = (index: number): boolean => (this.#seams[index]?.height ?? 0) > threshold;
    const timeOf = (index: number): number => Math.round(this.#seams[index]?.timeMs ?? 0);
    const last = this.#seams.length - 1;
    return findRuns(this.#seams.length, isVisible, passagePictures - 1).map(({ start, end }) => ({
      startMs: timeOf(start),
      endMs: end <= last ? timeOf(end) : 2 * timeOf(last) - timeOf(last - 1),
    }));
  }

  /** Sets the heights of one direction: the mean step along the edge less its standard deviation. */
  #measure({ over, along, firstEdge }: Direction): void {
    for (let line = 2; line < patchSide - 1; line += 1) {
      let [sum, squares] = [0, 0];
      for (let cell = 0; cell < patchSide; cell += 1) {
        const step = this.#stepAt(line * over + cell * along, over);
        this.#steps[cell] = step;
        const old = cell >= runCells ? at(this.#steps, cell - runCells) : 0;
        sum += step - old;
        squares += step * step - old * old;
        const start = cell + 1 - runCells;
        if (start < 0 || start % runStep !== 0) continue;
        const mean = sum / runCells;
        const height = Math.abs(mean) - Math.sqrt(Math.max(0, squares / runCells - mean * mean));
        this.#heights[firstEdge + line * runsPerLine + start / runStep] = Math.max(0, height);
      }
    }
  }

  #averageSource(source: Int16Array, { over, along, firstEdge }: Direction): void {
    for (let line = 0; line < patchSide; line += 1) {
      let sum = 0;
      for (let cell = 0; cell < patchSide; cell += 1) {
        const index = line * over + cell * along;
        sum += source[index] ?? 0;
        if (cell >= runCells) sum -= source[index - runCells * along] ?? 0;
        const start = cell + 1 - runCells;
        if (start >= 0 && start % runStep === 0)
          this.#sourceMeans[firstEdge + line * runsPerLine + start / runStep] = (sum / runCells) * levelPerUnit;
      }
    }
  }

  /** Reduces the heights by what the motion of an edge of the source may cause. */
  #dropMovedEdges({ firstEdge }: Direction): void {
    for (let within = 0; within < edgesPerDirection; within += 1) {
      const edge = firstEdge + within;
      const height = at(this.#heights, edge);
      if (height === 0) continue;
      let [lowest, highest] = [Infinity, -Infinity];
      for (const offset of movedLines) {
        const other = within + offset * runsPerLine;
        if (other < 0 || other >= edgesPerDirection) continue;
        const mean = at(this.#sourceMeans, firstEdge + other);
        lowest = Math.min(lowest, mean);
        highest = Math.max(highest, mean);
      }
      this.#heights[edge] = Math.max(0, height - movedShare * (highest - lowest));
    }
  }

  /** Difference of the two cells from `index` on and the two before. */
  #stepAt(index: number, over: number): number {
    const grid = this.#difference;
    return (at(grid, index) + at(grid, index + over) - at(grid, index - over) - at(grid, index - 2 * over)) / 2;
  }
}

/** A take and its source at one placement. */
export interface PatchPair {
  readonly take: FacePatch;
  readonly source: FacePatch;
}

interface Direction {
  /** Index steps across an edge and along it. */
  readonly over: number;
  readonly along: number;
  readonly firstEdge: number;
}

const across: Direction = { over: 1, along: patchSide, firstEdge: 0 };
const down: Direction = { over: patchSide, along: 1, firstEdge: edgesPerDirection };

/** Center of an edge in cells. */
function centerOf(edge: number): { readonly x: number; readonly y: number } {
  const within = edge % edgesPerDirection;
  const line = Math.floor(within / runsPerLine);
  const middle = (within % runsPerLine) * runStep + runCells / 2;
  return edge < edgesPerDirection ? { x: line, y: middle } : { x: middle, y: line };
}

function isUpperFace(edge: number): boolean {
  return centerOf(edge).y < upperRows;
}

function isLowerFace({ left, top, right, bottom }: Readonly<PixelArea>): (edge: number) => boolean {
  return (edge) => {
    const { x, y } = centerOf(edge);
    return y >= upperRows && !(x > left && x < right && y > top && y < bottom);
  };
}
