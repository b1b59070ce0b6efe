import type { FaceFrame } from '../../../face/face-types.ts';
import type { Frame } from '../../../media/index.ts';
import type { EngineClient } from '../engine/engine-client.ts';
import { silentMelChunk } from '../features/index.ts';
import { placeFace, type FaceCropper, type FacePaster } from '../picture/index.ts';
import { FaceBatch, type HeldFace } from './face-batch.ts';
import type { FramePlan } from './frame-plan.ts';

/** Batches at the engine at once: one that it works on, and the next one, so that it does not wait while another is filled. */
const batchesUnderWay = 2;

/** What is known of a clip frame's face. */
export interface ShownFace {
  readonly face: FaceFrame;
  /** Which shot of the clip it belongs to. */
  readonly shot: number;
}

export interface RedrawParts {
  readonly engine: Pick<EngineClient, 'generate'>;
  readonly cropSizePx: number;
  readonly batchFrames: number;
  readonly cropper: FaceCropper;
  readonly paster: FacePaster;
  /** The sound of each output frame, in order, at least as many as there are frames. */
  readonly melChunks: AsyncIterable<Float32Array>;
  /** The speaker's most closed mouth, BGR; undefined where no plan asks for it. */
  readonly closedMouth: Uint8Array | undefined;
  faceOf(frame: Frame): ShownFace;
  planOf(frame: Frame): FramePlan;
}

/** Wall time in this process, and bytes that were drawn. */
export interface RedrawFigures {
  cropMs: number;
  pasteMs: number;
  waitMs: number;
  bytesDrawn: number;
}

/** Frames that `redrawFrames` holds at once, at most: a batch's answer is waited for before the batch after the next is begun. */
export function heldFrames(batchFrames: number): number {
  return batchFrames * batchesUnderWay;
}

/**
 * Has the mouth of each frame drawn anew by the engine and pasted in place; passes every frame on, in order. While the
 * engine works on one batch the one before is pasted and the one after filled. Adds to `figures`. Throws what the frames,
 * the sound and the engine throw; whoever leaves the loop early ends the reading of both, and closes the engine.
 */
export async function* redrawFrames(
  frames: AsyncIterable<Frame>,
  parts: RedrawParts,
  figures: RedrawFigures,
): AsyncGenerator<Frame> {
  const underWay: SentBatch[] = [];
  const spare: FaceBatch[] = [];
  const add = createAdder(parts, figures);
  const chunks = parts.melChunks[Symbol.asyncIterator]();
  let filling = new FaceBatch(parts.batchFrames, parts.cropSizePx);
  try {
    for await (const frame of frames) {
      const heard = await chunks.next();
      add(filling, frame, heard.done ? silentMelChunk : heard.value);
      if (!filling.isFull) continue;
      underWay.push(send(filling, parts.engine));
      if (underWay.length === batchesUnderWay) yield* finishFirst(underWay, spare, parts, figures);
      filling = spare.pop() ?? new FaceBatch(parts.batchFrames, parts.cropSizePx);
    }
    underWay.push(send(filling, parts.engine));
    while (underWay.length > 0) yield* finishFirst(underWay, spare, parts, figures);
  } finally {
    await chunks.return?.();
  }
}

type Adder = (batch: FaceBatch, frame: Frame, chunk: Float32Array) => void;

/** Adds frames, in order, with the drawings that they need. */
function createAdder(parts: RedrawParts, figures: RedrawFigures): Adder {
  let lastShot: number | undefined;
  let lastClipFrame = 0;
  return (batch, frame, chunk) => {
    const { face, shot } = parts.faceOf(frame);
    const plan = parts.planOf(frame);
    // A clip that starts again looks like a cut; one that runs backwards does not.
    const startsAgain = frame.clipFrame < lastClipFrame - 1;
    lastClipFrame = frame.clipFrame;
    if (startsAgain) lastShot = undefined;
    if (face.presence === 'absent' || plan.drawings.length === 0) return void batch.held.push({ frame, face: null });
    const startedMs = performance.now();
    const placement = placeFace(face.points);
    const firstDrawing = batch.count;
    for (const { sound, reference } of plan.drawings) {
      if (batch.count === firstDrawing) parts.cropper.crop(frame, placement, batch.faceAt(firstDrawing));
      else batch.faceAt(batch.count).set(batch.faceAt(firstDrawing));
      batch.addDrawing(
        sound === 'speech' ? chunk : silentMelChunk,
        reference === 'closed' ? parts.closedMouth : undefined,
      );
    }
    batch.held.push({
      frame,
      face: { points: face.points, placement, plan, firstDrawing, beginsShot: shot !== lastShot },
    });
    lastShot = shot;
    figures.cropMs += performance.now() - startedMs;
  };
}

interface SentBatch {
  readonly batch: FaceBatch;
  readonly answer: Promise<Uint8Array>;
}

function send(batch: FaceBatch, engine: RedrawParts['engine']): SentBatch {
  const answer = batch.count === 0 ? Promise.resolve(new Uint8Array()) : engine.generate(batch.drawings());
  // Awaited when its turn comes; one that fails early must not count as unheard.
  answer.catch(() => undefined);
  return { batch, answer };
}

async function* finishFirst(
  underWay: SentBatch[],
  spare: FaceBatch[],
  { paster }: RedrawParts,
  figures: RedrawFigures,
): AsyncGenerator<Frame> {
  const sent = underWay.shift();
  if (!sent) return;
  const { batch, answer } = sent;
  const askedMs = performance.now();
  const made = await answer;
  figures.waitMs += performance.now() - askedMs;
  for (const { frame, face } of batch.held) {
    const startedMs = performance.now();
    if (face) figures.bytesDrawn += paste(frame, face, batch, made, paster);
    figures.pasteMs += performance.now() - startedMs;
    yield frame;
  }
  batch.clear();
  spare.push(batch);
}

function paste(picture: Frame, face: HeldFace, batch: FaceBatch, made: Uint8Array, paster: FacePaster): number {
  const { points, placement, plan, firstDrawing, beginsShot } = face;
  if (beginsShot) paster.startShot();
  const generated = mix(plan, (drawing) => batch.madeAt(made, firstDrawing + drawing));
  return paster.paste({
    picture,
    points,
    placement,
    generated,
    source: batch.faceAt(firstDrawing),
    strength: plan.strength,
  });
}

/** A frame's drawings laid over each other by their shares. */
function mix({ drawings: [first, second] }: FramePlan, madeOf: (drawing: number) => Uint8Array): Uint8Array {
  const under = madeOf(0);
  if (!first || !second) return under;
  const over = madeOf(1);
  return under.map((value, index) => Math.round(value * first.share + (over[index] ?? 0) * second.share));
}
