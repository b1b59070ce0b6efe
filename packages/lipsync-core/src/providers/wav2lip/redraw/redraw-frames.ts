import type { FaceFrame } from '../../../face/face-types.ts';
import type { ClipFacts, Frame } from '../../../media/index.ts';
import type { EngineAddress } from '../engine/engine-address.ts';
import type { EngineClient } from '../engine/engine-client.ts';
import { getMaxFaces } from '../engine/engine-protocol.ts';
import { silentMelChunk } from '../mel-chunks.ts';
import { placeFace, type FaceCropper } from '../picture/face-crop.ts';
import type { FacePaster } from '../picture/paste-face.ts';
import { FrameBatch, type PendingFace } from './frame-batch.ts';
import { fadePlan, maxInferencesPerFrame, type FramePlan } from './frame-plan.ts';
import { GeneratedFaces, type GeneratedFace, type InferenceInputs } from './generated-faces.ts';

/** Batches in flight: one that the engine computes and one that is queued, so that the engine never idles. */
const maxBatchesInFlight = 2;
/** Memory limit for all frames that `redrawFrames` holds. */
const maxHeldBytes = 256 * 1024 ** 2;

/** The face in a frame of the clip. */
export interface ShownFace {
  readonly face: FaceFrame;
  /** Index of the shot in the clip. */
  readonly shot: number;
  /** Opacity, 0–1, that the redrawn mouth may have. */
  readonly visibility: number;
}

export interface RedrawParts {
  readonly engine: Pick<EngineClient, 'generate'>;
  readonly cropSizePx: number;
  readonly batchFrames: number;
  readonly cropper: Pick<FaceCropper, 'crop'>;
  readonly paster: Pick<FacePaster, 'paste' | 'firstRow' | 'startShot'>;
  /** One mel chunk per output frame, in order; silence is used after the last one. */
  readonly melChunks: AsyncIterable<Float32Array>;
  /** The speaker's crop with the most closed mouth, BGR; undefined when no plan uses it. */
  readonly closedMouth: Uint8Array | undefined;
  faceOf(frame: Frame): ShownFace;
  planOf(frame: Frame): FramePlan;
}

/** Wall time per step in this process, and bytes written to pictures. */
export interface RedrawFigures {
  cropMs: number;
  /** Time to find equal model inputs, and number of the frames whose faces were all generated for earlier frames. */
  compareMs: number;
  repeatedFrames: number;
  pasteMs: number;
  waitMs: number;
  bytesWritten: number;
}

/** Maximum number of frames that `redrawFrames` holds at a time. */
export function heldFrames(batchFrames: number): number {
  return batchFrames * maxBatchesInFlight;
}

export interface BatchSizeInputs {
  readonly clip: Pick<ClipFacts, 'width' | 'height'>;
  readonly engine: Pick<EngineAddress, 'batchSize' | 'cropSizePx'>;
}

/**
 * Frames per batch, at least 1: the engine's batch size, limited by the memory for held frames and the message size.
 */
export function batchFramesOf({ clip, engine }: BatchSizeInputs): number {
  const frameBytes = clip.width * clip.height * 1.5;
  const byMemory = Math.floor(maxHeldBytes / heldFrames(1) / frameBytes);
  const byMessage = Math.floor(getMaxFaces(engine.cropSizePx) / maxInferencesPerFrame);
  return Math.max(1, Math.min(engine.batchSize, byMemory, byMessage));
}

/**
 * Generates the mouth of each frame with the engine and blends it into the frame; yields all frames in order. Cropping
 * and pasting overlap with the engine's work. Adds to `figures`. Passes on errors of frames, mel chunks and engine.
 * When the caller stops early, both sources are closed; the caller closes the engine.
 */
export async function* redrawFrames(
  frames: AsyncIterable<Frame>,
  parts: RedrawParts,
  figures: RedrawFigures,
): AsyncGenerator<Frame> {
  const inFlight: SentBatch[] = [];
  const spare: FrameBatch[] = [];
  const collector = new FrameCollector(parts, figures);
  const chunks = parts.melChunks[Symbol.asyncIterator]();
  let filling = new FrameBatch(parts.batchFrames, parts.cropSizePx);
  // Two frames at the seam of a loop share an output frame and its sound.
  let chunkIndex = -1;
  let chunk: Float32Array = silentMelChunk;
  try {
    for await (const frame of frames) {
      if (frame.index !== chunkIndex) {
        const next = await chunks.next();
        chunk = next.done ? silentMelChunk : next.value;
        chunkIndex = frame.index;
      }
      collector.add(filling, frame, chunk);
      if (!filling.isFull) continue;
      inFlight.push(send(filling, parts.engine));
      if (inFlight.length === maxBatchesInFlight) yield* finishOldest(inFlight, spare, parts, figures);
      filling = spare.pop() ?? new FrameBatch(parts.batchFrames, parts.cropSizePx);
    }
    inFlight.push(send(filling, parts.engine));
    while (inFlight.length > 0) yield* finishOldest(inFlight, spare, parts, figures);
  } finally {
    await chunks.return?.();
  }
}

/** Adds frames in order to batches, with the model inputs that their plans require. */
class FrameCollector {
  readonly #parts: RedrawParts;
  readonly #figures: RedrawFigures;
  readonly #faces: GeneratedFaces;
  #lastShot: number | undefined;
  #lastClipFrame = 0;

  constructor(parts: RedrawParts, figures: RedrawFigures) {
    this.#parts = parts;
    this.#faces = new GeneratedFaces(parts.cropSizePx ** 2 * 3);
    this.#figures = figures;
  }

  add(batch: FrameBatch, frame: Frame, melChunk: Float32Array): void {
    const { face, shot, visibility } = this.#parts.faceOf(frame);
    const plan = fadePlan(this.#parts.planOf(frame), visibility);
    // A loop back to the start of the clip is a visible cut; reverse playback is not.
    if (frame.clipFrame < this.#lastClipFrame - 1) this.#lastShot = undefined;
    this.#lastClipFrame = frame.clipFrame;
    if (face.presence === 'absent' || plan.inferences.length === 0) {
      batch.pending.push({ frame, face: null });
      return;
    }
    const startedMs = performance.now();
    const placement = placeFace(face.points);
    const input = batch.nextInput;
    this.#parts.cropper.crop(frame, placement, input);
    this.#figures.cropMs += performance.now() - startedMs;
    const inferencesBefore = batch.count;
    const firstRow = this.#parts.paster.firstRow(placement, face.points);
    const generated = plan.inferences.map(({ mel, reference }) =>
      this.#request(batch, {
        crop: input,
        melChunk: mel === 'speech' ? melChunk : silentMelChunk,
        reference,
        firstRow,
      }),
    );
    const isRepeated = batch.count === inferencesBefore;
    if (isRepeated) this.#figures.repeatedFrames += 1;
    // The next frame overwrites an input that no inference has.
    const crop = isRepeated ? input.slice() : input;
    const startsShot = shot !== this.#lastShot;
    batch.pending.push({ frame, face: { points: face.points, placement, plan, crop, generated, startsShot } });
    this.#lastShot = shot;
  }

  /** Returns the face of an inference; adds the inference to the batch unless an earlier one has equal inputs. */
  #request(batch: FrameBatch, inputs: InferenceInputs): GeneratedFace {
    const startedMs = performance.now();
    const { face, isNew } = this.#faces.take(inputs);
    this.#figures.compareMs += performance.now() - startedMs;
    if (!isNew) return face;
    const { crop, melChunk, reference, firstRow } = inputs;
    // No copy for the first inference of a frame, whose input the crop is.
    if (batch.nextInput.byteOffset !== crop.byteOffset) batch.nextInput.set(crop);
    batch.needRowsFrom(firstRow);
    batch.addInference(face, melChunk, reference === 'closed' ? this.#parts.closedMouth : undefined);
    return face;
  }
}

interface SentBatch {
  readonly batch: FrameBatch;
  readonly output: Promise<Uint8Array>;
}

function send(batch: FrameBatch, engine: RedrawParts['engine']): SentBatch {
  const output = batch.count === 0 ? Promise.resolve(new Uint8Array()) : engine.generate(batch.toFaceBatch());
  // Awaited later in order; until then a rejection must not count as unhandled.
  output.catch(() => undefined);
  return { batch, output };
}

async function* finishOldest(
  inFlight: SentBatch[],
  spare: FrameBatch[],
  { paster }: RedrawParts,
  figures: RedrawFigures,
): AsyncGenerator<Frame> {
  const sent = inFlight.shift();
  if (!sent) return;
  const { batch } = sent;
  const waitStartedMs = performance.now();
  batch.finish(await sent.output);
  figures.waitMs += performance.now() - waitStartedMs;
  for (const { frame, face } of batch.pending) {
    const startedMs = performance.now();
    if (face) {
      if (face.startsShot) paster.startShot();
      figures.bytesWritten += paster.paste({
        picture: frame,
        points: face.points,
        placement: face.placement,
        generated: mixFaces(face),
        source: face.crop,
        strength: face.plan.strength,
      });
    }
    figures.pasteMs += performance.now() - startedMs;
    yield frame;
  }
  batch.clear();
  spare.push(batch);
}

/** The weighted mean of a frame's generated faces. Their batches are finished, because batches finish in order. */
function mixFaces({ plan, generated }: PendingFace): Uint8Array {
  const [first, second] = plan.inferences;
  const [firstFace = { pixels: new Uint8Array() }, secondFace] = generated;
  if (!first || !second || !secondFace) return firstFace.pixels;
  const { pixels } = secondFace;
  return firstFace.pixels.map((value, index) =>
    Math.round(value * first.weight + (pixels[index] ?? 0) * second.weight),
  );
}
