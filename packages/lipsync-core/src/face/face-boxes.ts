import type { FaceBox } from './face-types.ts';

/** What the short-range detector says about one anchor: a score and 16 numbers, in pixels of its input. */
export interface RawFaceBoxes {
  /** Scores before the logistic function, one per anchor. */
  readonly scores: Float32Array;
  /** Per anchor: box center and size, then six keypoints; places are relative to the anchor. */
  readonly values: Float32Array;
  /** Pixels between neighboring anchors, and how many sit at each place. */
  readonly stride: number;
  readonly perCell: number;
}

export const detectorInputSize = 256;

const valuesPerAnchor = 16;
const minimumScore = 0.5;
const overlapOfSameFace = 0.3;

/** Boxes in pixels of the detector's input, best first, one per face. */
export function decodeFaceBoxes(outputs: readonly RawFaceBoxes[]): readonly FaceBox[] {
  const candidates = outputs.flatMap(decodeGrid).sort((first, second) => second.score - first.score);
  const groups: FaceBox[][] = [];
  for (const box of candidates) {
    const group = groups.find(([best]) => best !== undefined && boxOverlap(best, box) > overlapOfSameFace);
    if (group) group.push(box);
    else groups.push([box]);
  }
  return groups.map(blend);
}

function decodeGrid({ scores, values, stride, perCell }: RawFaceBoxes): FaceBox[] {
  const columns = detectorInputSize / stride;
  const boxes: FaceBox[] = [];
  for (let anchor = 0; anchor < scores.length; anchor += 1) {
    const score = 1 / (1 + Math.exp(-(scores[anchor] ?? -Infinity)));
    if (score < minimumScore) continue;
    const cell = Math.floor(anchor / perCell);
    const anchorX = ((cell % columns) + 0.5) * stride;
    const anchorY = (Math.floor(cell / columns) + 0.5) * stride;
    boxes.push(
      decodeBox(values.subarray(anchor * valuesPerAnchor, (anchor + 1) * valuesPerAnchor), anchorX, anchorY, score),
    );
  }
  return boxes;
}

/** Keypoints 0 and 1 are the eyes, the one on the left of the picture first. */
function decodeBox(values: Float32Array, anchorX: number, anchorY: number, score: number): FaceBox {
  const [x = 0, y = 0, width = 0, height = 0, leftX = 0, leftY = 0, rightX = 0, rightY = 0] = values;
  return {
    x: anchorX + x - width / 2,
    y: anchorY + y - height / 2,
    width,
    height,
    score,
    roll: Math.atan2(rightY - leftY, rightX - leftX),
  };
}

/** The mean of boxes that agree on one face, weighted by score; steadier than the best alone. */
function blend(boxes: readonly FaceBox[]): FaceBox {
  const total = boxes.reduce((sum, { score }) => sum + score, 0);
  const mean = (value: (box: FaceBox) => number): number =>
    boxes.reduce((sum, box) => sum + value(box) * box.score, 0) / total;
  return {
    x: mean((box) => box.x),
    y: mean((box) => box.y),
    width: mean((box) => box.width),
    height: mean((box) => box.height),
    score: Math.max(...boxes.map(({ score }) => score)),
    roll: Math.atan2(
      mean(({ roll }) => Math.sin(roll)),
      mean(({ roll }) => Math.cos(roll)),
    ),
  };
}

type Rectangle = Pick<FaceBox, 'x' | 'y' | 'width' | 'height'>;

/** Shared area over joint area, 0–1. */
export function boxOverlap(first: Rectangle, second: Rectangle): number {
  const width = Math.min(first.x + first.width, second.x + second.width) - Math.max(first.x, second.x);
  const height = Math.min(first.y + first.height, second.y + second.height) - Math.max(first.y, second.y);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (first.width * first.height + second.width * second.height - shared);
}
