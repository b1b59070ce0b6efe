import { loadRegionModel, planarSamplerOf, runRegionModel, valuesOf } from './face-detector.ts';
import type { ValueScaling } from './face-regions.ts';
import type { FaceRegion, YuvPicture } from './face-types.ts';

const inputSize = 224;
const descriptorNode = 'global_pooling/Mean';
const byteScaling: ValueScaling = { scale: 1, offset: 0 };
/** Side of the input relative to the region of the landmark model: the face without its surroundings. */
const regionScale = 0.72;

/** Describes faces so that those of one person are alike. */
export interface FaceIdentifier {
  /** Returns 1024 values that describe the face in `region`, which is that of the landmark model. */
  describe(picture: YuvPicture, region: FaceRegion): Promise<Float32Array>;
}

/**
 * Loads FaceRes of the `@vladmandic/human` package (HSE-FaceRes), on the CPU. Throws `model_missing` when the package is
 * not installed.
 */
export async function createFaceIdentifier(): Promise<FaceIdentifier> {
  const model = await loadRegionModel('faceres', inputSize, [descriptorNode]);
  return {
    async describe(picture, region) {
      const face = { ...region, side: region.side * regionScale };
      return valuesOf(await runRegionModel(model, planarSamplerOf(picture), face, byteScaling), descriptorNode).slice();
    },
  };
}

/** Cosine of two descriptors: about 0.65 and more for one person, less than 0.5 for two. */
export function compareIdentities(first: Float32Array, second: Float32Array): number {
  let [product, firstSquares, secondSquares] = [0, 0, 0];
  for (const [index, value] of first.entries()) {
    const other = second[index] ?? 0;
    product += value * other;
    firstSquares += value * value;
    secondSquares += other * other;
  }
  return product / Math.sqrt(firstSquares * secondSquares);
}
