import type { Frame } from '../../../media/index.ts';
import { melChunkLength } from '../features/index.ts';
import type { FacePlacement } from '../picture/index.ts';
import { mostDrawings, type FramePlan } from './frame-plan.ts';

/** A frame on its way. */
export interface HeldFrame {
  readonly frame: Frame;
  /** Null for a frame that is left as it is. */
  readonly face: HeldFace | null;
}

/** Where a frame's face is, and which of the batch's drawings its mouth is made of. */
export interface HeldFace {
  readonly points: Float32Array;
  readonly placement: FacePlacement;
  readonly plan: FramePlan;
  /** Index of its first drawing in the batch; the others follow. */
  readonly firstDrawing: number;
  /** Whether the shade of the frame before says nothing about this one. */
  readonly beginsShot: boolean;
}

/** What the model is to draw: for each drawing the crop to redraw, the crop that it is shown unmasked, and its sound. */
export interface Drawings {
  readonly count: number;
  readonly faces: Uint8Array;
  /** The very `faces` where every drawing is shown its own. */
  readonly references: Uint8Array;
  readonly mel: Float32Array;
}

/** Frames in order and the drawings that they need. Its memory is used again once it is cleared. */
export class FaceBatch {
  readonly held: HeldFrame[] = [];
  readonly #faceBytes: number;
  readonly #frameCapacity: number;
  readonly #faces: Uint8Array;
  readonly #references: Uint8Array;
  readonly #mel: Float32Array;
  #count = 0;
  #showsOthers = false;

  constructor(frameCapacity: number, cropSizePx: number) {
    this.#frameCapacity = frameCapacity;
    this.#faceBytes = cropSizePx * cropSizePx * 3;
    this.#faces = new Uint8Array(frameCapacity * mostDrawings * this.#faceBytes);
    this.#references = new Uint8Array(this.#faces.length);
    this.#mel = new Float32Array(frameCapacity * mostDrawings * melChunkLength);
  }

  get isFull(): boolean {
    return this.held.length === this.#frameCapacity;
  }

  /** Index that the next drawing will have. */
  get count(): number {
    return this.#count;
  }

  /** The crop of a drawing, to be filled before the drawing is added. */
  faceAt(drawing: number): Uint8Array {
    return this.#faces.subarray(drawing * this.#faceBytes, (drawing + 1) * this.#faceBytes);
  }

  /** The same place in what the model made of the drawings. */
  madeAt(made: Uint8Array, drawing: number): Uint8Array {
    return made.subarray(drawing * this.#faceBytes, (drawing + 1) * this.#faceBytes);
  }

  /** Adds the drawing whose crop was filled last. It is shown `reference`, or its own crop. */
  addDrawing(chunk: Float32Array, reference?: Uint8Array): void {
    this.#references.set(reference ?? this.faceAt(this.#count), this.#count * this.#faceBytes);
    this.#mel.set(chunk, this.#count * melChunkLength);
    this.#showsOthers ||= reference !== undefined;
    this.#count += 1;
  }

  drawings(): Drawings {
    const bytes = this.#count * this.#faceBytes;
    const faces = this.#faces.subarray(0, bytes);
    return {
      count: this.#count,
      faces,
      references: this.#showsOthers ? this.#references.subarray(0, bytes) : faces,
      mel: this.#mel.subarray(0, this.#count * melChunkLength),
    };
  }

  clear(): void {
    this.held.length = 0;
    this.#count = 0;
    this.#showsOthers = false;
  }
}
