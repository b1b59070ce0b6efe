import type { FaceBox } from './face-types.ts';

/** Raw output of one anchor grid of BlazeFace. */
export interface AnchorGridOutput {
  /** Logits, one per anchor. */
  readonly scores: Float32Array;
  /** 16 values per anchor: box center, box size and six keypoints, in input pixels relative to the anchor. */
  readonly values: Float32Array;
  /** Pixels between neighboring cells, and anchors per cell. */
  readonly stride: number;
  readonly anchorsPerCell: number;
}

export const detectorInputSize = 256;

const valuesPerAnchor = 16;
const minimumScore = 0.5;
const suppressionIou = 0.3;

/**
 * Decodes boxes in pixels of the detector's input, best first, one per face. Overlapping boxes are merged by weighted
 * non-maximum suppression as in BlazeFace (Bazarevsky et al., 2019): their mean is steadier than the best box alone.
 */
export function decodeFaceBoxes(outputs: readonly AnchorGridOutput[]): readonly FaceBox[] {
  const candidates = outputs.flatMap(decodeGrid).sort((first, second) => second.score - first.score);
  const groups: FaceBox[][] = [];
  for (const box of candidates) {
    const group = groups.find(([best]) => best !== undefined && intersectionOverUnion(best, box) > suppressionIou);
    if (group) group.push(box);
    else groups.push([box]);
  }
  return groups.map(weightedMean);
}

function decodeGrid({ scores, values, stride, anchorsPerCell }: AnchorGridOutput): FaceBox[] {
  const columns = detectorInputSize / stride;
  const boxes: FaceBox[] = [];
  for (let anchor = 0; anchor < scores.length; anchor += 1) {
    const score = 1 / (1 + Math.exp(-(scores[anchor] ?? -Infinity)));
    if (score < minimumScore) continue;
    const cell = Math.floor(anchor / anchorsPerCell);
    const anchorX = ((cell % columns) + 0.5) * stride;
    const anchorY = (Math.floor(cell / columns) + 0.5) * stride;
    const anchorValues = values.subarray(anchor * valuesPerAnchor, (anchor + 1) * valuesPerAnchor);
    boxes.push(decodeBox(anchorValues, anchorX, anchorY, score));
  }
  return boxes;
}

/** Keypoints 0 and 1 are the left and the right eye in the picture. */
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

function weightedMean(boxes: readonly FaceBox[]): FaceBox {
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

/** Position and size without score and rotation. */
export type Rectangle = Pick<FaceBox, 'x' | 'y' | 'width' | 'height'>;

/** Intersection over union (IoU), 0–1. */
export function intersectionOverUnion(first: Rectangle, second: Rectangle): number {
  const width = Math.min(first.x + first.width, second.x + second.width) - Math.max(first.x, second.x);
  const height = Math.min(first.y + first.height, second.y + second.height) - Math.max(first.y, second.y);
  if (width <= 0 || height <= 0) return 0;
  const intersection = width * height;
  return intersection / (first.width * first.height + second.width * second.height - intersection);
}
