import type { Frame } from '../../../media/index.ts';
import type { FaceBatch } from '../engine/engine-client.ts';
import { melChunkLength } from '../mel-chunks.ts';
import type { FacePlacement } from '../picture/face-crop.ts';
import { maxInferencesPerFrame, type FramePlan } from './frame-plan.ts';
import type { GeneratedFace } from './generated-faces.ts';

/** A frame that waits for the results of its batch. */
export interface PendingFrame {
  readonly frame: Frame;
  /** Null for a frame that stays unchanged. */
  readonly face: PendingFace | null;
}

export interface PendingFace {
  readonly points: Float32Array;
  readonly placement: FacePlacement;
  readonly plan: FramePlan;
  /** The crop of the frame, BGR; a view of the batch's buffer, or a copy when no inference of the batch has it. */
  readonly crop: Uint8Array;
  /** The faces of the plan's inferences, in their order. An earlier frame may have them too. */
  readonly generated: readonly GeneratedFace[];
  /** Whether this is the first face of a shot. */
  readonly startsShot: boolean;
}

/** Consecutive frames and the model inputs of their inferences. Buffers are reused after `clear`. */
export class FrameBatch {
  readonly pending: PendingFrame[] = [];
  readonly #faceBytes: number;
  readonly #frameCapacity: number;
  readonly #faces: Uint8Array;
  readonly #references: Uint8Array;
  readonly #mel: Float32Array;
  readonly #cropSizePx: number;
  /** The face of each inference. */
  readonly #generated: GeneratedFace[] = [];
  #hasOtherReferences = false;
  #startRow: number;

  constructor(frameCapacity: number, cropSizePx: number) {
    this.#frameCapacity = frameCapacity;
    this.#cropSizePx = cropSizePx;
    this.#startRow = cropSizePx - 1;
    this.#faceBytes = cropSizePx * cropSizePx * 3;
    this.#faces = new Uint8Array(frameCapacity * maxInferencesPerFrame * this.#faceBytes);
    this.#references = new Uint8Array(this.#faces.length);
    this.#mel = new Float32Array(frameCapacity * maxInferencesPerFrame * melChunkLength);
  }

  get isFull(): boolean {
    return this.pending.length === this.#frameCapacity;
  }

  /** Number of inferences. */
  get count(): number {
    return this.#generated.length;
  }

  /** The input crop of the next inference; fill it before `addInference`. */
  get nextInput(): Uint8Array {
    return this.#faces.subarray(this.count * this.#faceBytes, (this.count + 1) * this.#faceBytes);
  }

  /** Adds the inference of `face`, whose input is `nextInput`. The reference defaults to that crop. */
  addInference(face: GeneratedFace, melChunk: Float32Array, reference?: Uint8Array): void {
    this.#references.set(reference ?? this.nextInput, this.count * this.#faceBytes);
    this.#mel.set(melChunk, this.count * melChunkLength);
    this.#hasOtherReferences ||= reference !== undefined;
    this.#generated.push(face);
  }

  /** Copies the output of the engine to the faces of the inferences. */
  finish(output: Uint8Array): void {
    for (const [index, face] of this.#generated.entries())
      face.pixels = output.slice(index * this.#faceBytes, (index + 1) * this.#faceBytes);
  }

  /** Includes the rows of the generated faces from this one on. */
  needRowsFrom(row: number): void {
    this.#startRow = Math.min(this.#startRow, row);
  }

  /** The model inputs as views of the batch's buffers. `references` is the same view as `faces` when all are equal. */
  toFaceBatch(): FaceBatch {
    const bytes = this.count * this.#faceBytes;
    const faces = this.#faces.subarray(0, bytes);
    return {
      count: this.count,
      faces,
      references: this.#hasOtherReferences ? this.#references.subarray(0, bytes) : faces,
      mel: this.#mel.subarray(0, this.count * melChunkLength),
      startRow: this.#startRow,
    };
  }

  clear(): void {
    this.pending.length = 0;
    this.#generated.length = 0;
    this.#hasOtherReferences = false;
    this.#startRow = this.#cropSizePx - 1;
  }
}
