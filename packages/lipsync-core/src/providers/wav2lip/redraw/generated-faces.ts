import { createHash } from 'node:crypto';
import type { InferencePlan } from './frame-plan.ts';

/** Memory limit for the generated faces that are kept for equal inputs. */
const maxKeptBytes = 4 * 1024 ** 2;

/** A face that the engine generates. Frames with equal model inputs share it. */
export interface GeneratedFace {
  /** BGR bytes; empty until the batch of its inference is finished. */
  pixels: Uint8Array;
}

/** The model inputs of one inference. */
export interface InferenceInputs {
  /** The crop of the frame, BGR. */
  readonly crop: Uint8Array;
  readonly melChunk: Float32Array;
  readonly reference: InferencePlan['reference'];
  /** First row of the face that is pasted. Rows above it may not be generated. */
  readonly firstRow: number;
}

/**
 * The latest generated faces by a digest of their model inputs, so that a held frame or a still in a pause is not
 * computed again. The model is a function of these inputs, so a face that is used again is the one that the model would
 * compute. Belongs to one take: the closed mouth that a reference may name is the same in the whole take.
 */
export class GeneratedFaces {
  readonly #capacity: number;
  readonly #faces = new Map<string, GeneratedFace>();

  constructor(faceBytes: number) {
    this.#capacity = Math.max(1, Math.floor(maxKeptBytes / faceBytes));
  }

  /** Returns the face of equal inputs, or a new one that the caller has to compute. */
  take(inputs: InferenceInputs): { readonly face: GeneratedFace; readonly isNew: boolean } {
    const digest = digestOf(inputs);
    const known = this.#faces.get(digest);
    this.#faces.delete(digest);
    const face = known ?? { pixels: new Uint8Array() };
    this.#faces.set(digest, face);
    const [oldest] = this.#faces.keys();
    if (this.#faces.size > this.#capacity && oldest !== undefined) this.#faces.delete(oldest);
    return { face, isNew: !known };
  }
}

function digestOf({ crop, melChunk, reference, firstRow }: InferenceInputs): string {
  return createHash('sha256')
    .update(crop)
    .update(new Uint8Array(melChunk.buffer, melChunk.byteOffset, melChunk.byteLength))
    .update(`${reference} ${firstRow}`)
    .digest('base64');
}
