import { compareIdentities, createFaceIdentifier, type FaceIdentifier } from '../../face/face-identity.ts';
import { regionOfMesh } from '../../face/face-regions.ts';
import { colorMatrixOf } from '../../image/color-matrix.ts';
import type { Picture } from '../../image/planes.ts';
import type { AnalyzerSetup } from '../analyzer.ts';

/** Faces that are compared, spread over the video: a network describes each of them. */
const comparedFaces = 3;

/** A picture with the landmarks of its face, in its pixels. */
interface PicturedFace {
  readonly picture: Picture;
  readonly points: Float32Array;
}

/** Compares who is seen in a take and in its source. Keeps no descriptor. */
export class IdentityMeter {
  readonly #setup: AnalyzerSetup;
  readonly #similarities: number[] = [];
  #compared = 0;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
  }

  /** Compares two pictures of a face when one is due. They may differ in size. */
  async add(index: number, take: PicturedFace, source: PicturedFace): Promise<void> {
    const due = (this.#compared * this.#setup.frameCount) / comparedFaces;
    if (this.#compared >= comparedFaces || index < due) return;
    this.#compared += 1;
    const identifier = await this.#setup.resources.get(createFaceIdentifier);
    const ours = await this.#describe(identifier, take);
    this.#similarities.push(compareIdentities(ours, await this.#describe(identifier, source)));
  }

  #describe(identifier: FaceIdentifier, { picture, points }: PicturedFace): Promise<Float32Array> {
    const matrix = colorMatrixOf(this.#setup.facts.color, picture.height);
    return identifier.describe({ picture, matrix }, regionOfMesh(points));
  }

  /** Mean cosine; null when no face was compared. */
  finish(): number | null {
    const count = this.#similarities.length;
    return count === 0 ? null : this.#similarities.reduce((sum, value) => sum + value, 0) / count;
  }
}
