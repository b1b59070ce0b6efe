import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { landmarkCount } from '../../../face/face-types.ts';
import type { Frame } from '../../../media/index.ts';
import type { FaceBatch } from '../engine/engine-client.ts';
import { isPossibleCount } from '../engine/engine-protocol.ts';
import { melChunkLength } from '../mel-chunks.ts';
import { maxCropSizePx } from '../model/model-facts.ts';
import type { FacePaste } from '../picture/paste-face.ts';
import { maxInferencesPerFrame, planFrame } from './frame-plan.ts';
import { batchFramesOf, heldFrames, redrawFrames, type RedrawFigures, type RedrawParts } from './redraw-frames.ts';

const cropSizePx = 2;
const faceBytes = cropSizePx * cropSizePx * 3;
const closedMouth = new Uint8Array(faceBytes).fill(99);

/** Landmarks of an upright face. */
const points = new Float32Array(landmarkCount * 3);
points.set([10, 10, 0], 10 * 3);
points.set([10, 12, 0], 9 * 3);
points.set([10, 30, 0], 152 * 3);
points.set([0, 20, 0], 234 * 3);
points.set([20, 20, 0], 454 * 3);
for (const [landmark, x] of [
  [33, 4],
  [133, 8],
  [362, 12],
  [263, 16],
] as const)
  points.set([x, 15, 0], landmark * 3);

function frameOf(index: number, clipFrame = index): Frame {
  return { index, clipFrame, width: 2, height: 2, data: Uint8Array.of(index % 256, 0, 0, 0, 0, 0) };
}

async function* framesOf(
  count: number,
  clipFrameAt: (index: number) => number = (index) => index,
): AsyncGenerator<Frame> {
  for (let index = 0; index < count; index += 1) yield frameOf(index, clipFrameAt(index));
}

async function* chunksOf(count: number): AsyncGenerator<Float32Array> {
  for (let index = 0; index < count; index += 1) yield new Float32Array(melChunkLength).fill(index);
}

interface Scene {
  readonly parts: RedrawParts;
  readonly figures: RedrawFigures;
  readonly batches: FaceBatch[];
  readonly pastes: FacePaste[];
  /** Number of pastes before each call of `startShot`. */
  readonly shotStarts: number[];
}

/** A fake engine that returns the reference crops; crops are filled with the frame index. */
function sceneOf(more: Partial<RedrawParts> & { readonly frameCount: number }): Scene {
  const batches: FaceBatch[] = [];
  const pastes: FacePaste[] = [];
  const shotStarts: number[] = [];
  return {
    figures: { cropMs: 0, compareMs: 0, repeatedFrames: 0, pasteMs: 0, waitMs: 0, bytesWritten: 0 },
    batches,
    pastes,
    shotStarts,
    parts: {
      cropSizePx,
      batchFrames: 4,
      closedMouth,
      engine: {
        async generate(batch) {
          batches.push({
            ...batch,
            mel: batch.mel.slice(),
            faces: batch.faces.slice(),
            references: batch.references.slice(),
          });
          return batch.references.slice();
        },
      },
      cropper: { crop: (picture, _placement, output) => void output.fill(picture.data[0] ?? 0, 0, faceBytes) },
      paster: {
        paste: (paste) => {
          pastes.push({ ...paste, generated: paste.generated.slice(), source: paste.source.slice() });
          return 7;
        },
        firstRow: () => 0,
        startShot: () => void shotStarts.push(pastes.length),
      },
      melChunks: chunksOf(more.frameCount),
      faceOf: () => ({ face: { presence: 'found', points }, shot: 0, visibility: 1 }),
      planOf: () => planFrame('generate', 1),
      ...more,
    },
  };
}

async function indexesOf(frames: AsyncIterable<Frame>): Promise<number[]> {
  const indexes: number[] = [];
  for await (const { index } of frames) indexes.push(index);
  return indexes;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('redrawFrames', () => {
  it('Frames are yielded in order, each with its own crop, mel chunk and generated face, at any batch size.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(40), fc.integer({ min: 1, max: 9 }), async (frameCount, batchFrames) => {
        const { parts, figures, batches, pastes } = sceneOf({ frameCount, batchFrames });
        expect(await indexesOf(redrawFrames(framesOf(frameCount), parts, figures))).toEqual(range(frameCount));
        expect(pastes.map(({ generated, source }) => [generated[0], source[0]])).toEqual(
          range(frameCount).map((index) => [index, index]),
        );
        expect(
          batches.flatMap(({ count, mel }) => range(count).map((drawing) => mel[drawing * melChunkLength])),
        ).toEqual(range(frameCount));
        expect(batches.every(({ count }) => count > 0 && count <= batchFrames)).toBe(true);
        expect(figures.bytesWritten).toBe(frameCount * 7);
      }),
    );
  });

  it('Two frames at the seam of a loop share the mel chunk of their output frame.', async () => {
    const { parts, figures, batches } = sceneOf({ frameCount: 3 });
    const frames = async function* (): AsyncGenerator<Frame> {
      for (const [index, clipFrame] of [
        [0, 0],
        [1, 1],
        [1, 0],
        [2, 0],
      ] as const)
        yield { ...frameOf(index, clipFrame), data: new Uint8Array(6).fill(index * 10 + clipFrame) };
    };
    expect(await indexesOf(redrawFrames(frames(), parts, figures))).toEqual([0, 1, 1, 2]);
    expect(batches.flatMap(({ count, mel }) => range(count).map((drawing) => mel[drawing * melChunkLength]))).toEqual([
      0, 1, 1, 2,
    ]);
  });

  it('At most heldFrames frames are held at a time, and that many are reached.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), async (batchFrames) => {
        const frameCount = batchFrames * 5 + 1;
        const { parts, figures } = sceneOf({ frameCount, batchFrames });
        let read = 0;
        let yielded = 0;
        let maxHeld = 0;
        async function* countedFrames(): AsyncGenerator<Frame> {
          for await (const frame of framesOf(frameCount)) {
            read += 1;
            maxHeld = Math.max(maxHeld, read - yielded);
            yield frame;
          }
        }
        for await (const { index } of redrawFrames(countedFrames(), parts, figures)) yielded = index + 1;
        expect(maxHeld).toBe(heldFrames(batchFrames));
      }),
    );
  });

  it('Frames without a face need no inference, and a batch without faces is not sent.', async () => {
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 20,
      faceOf: ({ index }) => ({
        face: index < 10 ? { presence: 'absent', points: new Float32Array(0) } : { presence: 'found', points },
        shot: 0,
        visibility: 1,
      }),
    });
    expect(await indexesOf(redrawFrames(framesOf(20), parts, figures))).toEqual(range(20));
    expect(batches.map(({ count }) => count)).toEqual([2, 4, 4]);
    expect(pastes.map(({ source }) => source[0])).toEqual(range(20).slice(10));
  });

  it('A hidden mouth needs no inference, and the fade next to it lowers the opacity of the generated mouth.', async () => {
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 4,
      faceOf: ({ index }) => ({ face: { presence: 'found', points }, shot: 0, visibility: [1, 0.5, 0, 1][index] ?? 1 }),
    });
    await indexesOf(redrawFrames(framesOf(4), parts, figures));
    expect(batches.map(({ count }) => count)).toEqual([3]);
    expect(pastes.map(({ source, strength }) => [source[0], strength])).toEqual([
      [0, 1],
      [1, 0.5],
      [3, 1],
    ]);
  });

  it('The speaking and the closed mouth are mixed at the start of a pause.', async () => {
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 3,
      planOf: ({ index }) => planFrame('close', 1 - index / 2),
    });
    await indexesOf(redrawFrames(framesOf(3), parts, figures));
    expect(batches.map(({ count }) => count)).toEqual([4]);
    expect(pastes.map(({ generated }) => generated[0])).toEqual([0, Math.round(1 * 0.5 + 99 * 0.5), 99]);
    expect(pastes.map(({ source }) => source[0])).toEqual([0, 1, 2]);
  });

  it('A frame whose crop and sound equal those of an earlier one is pasted without an inference, also in a later batch.', async () => {
    const pictures = [1, 1, 2, 1, 2, 3, 1];
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 7,
      batchFrames: 2,
      planOf: () => planFrame('generate', 0),
      melChunks: (async function* () {
        for (const sound of [5, 5, 5, 6, 5, 5, 5]) yield new Float32Array(melChunkLength).fill(sound);
      })(),
      cropper: {
        crop: ({ data }, _placement, output) => void output.fill(pictures[data[0] ?? 0] ?? 0, 0, faceBytes),
      },
    });
    expect(await indexesOf(redrawFrames(framesOf(7), parts, figures))).toEqual(range(7));
    expect(batches.map(({ faces, mel }) => [faces[0], faces[faceBytes], mel[0], mel[melChunkLength]])).toEqual([
      [1, undefined, 5, undefined],
      [2, 1, 5, 6],
      [3, undefined, 5, undefined],
    ]);
    expect(pastes.map(({ generated, source }) => [generated[0], source[0]])).toEqual(
      pictures.map((picture) => [picture, picture]),
    );
    expect(figures.repeatedFrames).toBe(3);
  });

  it('Equal frames of a pause in close mode are generated once, and a mixed one shares only its closed mouth.', async () => {
    const voiced = [0, 0, 0.5, 1];
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 4,
      planOf: ({ index }) => planFrame('close', voiced[index] ?? 1),
      cropper: { crop: (_picture, _placement, output) => void output.fill(40, 0, faceBytes) },
    });
    await indexesOf(redrawFrames(framesOf(4), parts, figures));
    expect(batches.flatMap(({ count, mel }) => range(count).map((index) => mel[index * melChunkLength]))).toEqual([
      -4, 2, 3,
    ]);
    expect(pastes.map(({ generated, source }) => [generated[0], source[0]])).toEqual([
      [99, 40],
      [99, 40],
      [Math.round(40 * 0.5 + 99 * 0.5), 40],
      [40, 40],
    ]);
    expect(figures.repeatedFrames).toBe(1);
  });

  it('Frames after the last mel chunk use silence.', async () => {
    const { parts, figures, batches } = sceneOf({ frameCount: 2, batchFrames: 4 });
    await indexesOf(redrawFrames(framesOf(3), parts, figures));
    expect(batches[0]?.mel[2 * melChunkLength]).toBe(-4);
  });

  it('A shot starts at a cut and where the clip loops, but not where playback reverses.', async () => {
    const cut = sceneOf({
      frameCount: 8,
      faceOf: ({ clipFrame }) => ({ face: { presence: 'found', points }, shot: clipFrame < 5 ? 0 : 1, visibility: 1 }),
    });
    await indexesOf(redrawFrames(framesOf(8), cut.parts, cut.figures));
    expect(cut.shotStarts).toEqual([0, 5]);
    const loop = sceneOf({ frameCount: 9 });
    await indexesOf(
      redrawFrames(
        framesOf(9, (index) => index % 4),
        loop.parts,
        loop.figures,
      ),
    );
    expect(loop.shotStarts).toEqual([0, 4, 8]);
    const bounce = sceneOf({ frameCount: 9 });
    await indexesOf(
      redrawFrames(
        framesOf(9, (index) => Math.abs(4 - index)),
        bounce.parts,
        bounce.figures,
      ),
    );
    expect(bounce.shotStarts).toEqual([0]);
  });
});

describe('Early end of redrawFrames', () => {
  /** Reports when the iterable is closed. */
  async function* watchClose<Value>(values: AsyncIterable<Value>, onClosed: () => void): AsyncGenerator<Value> {
    try {
      yield* values;
    } finally {
      onClosed();
    }
  }

  it('An engine error is thrown once, and frames and mel chunks are closed.', async () => {
    const closed: string[] = [];
    const failure = new Error('engine lost');
    let calls = 0;
    const { parts, figures } = sceneOf({
      frameCount: 40,
      melChunks: watchClose(chunksOf(40), () => closed.push('mel chunks')),
      engine: {
        async generate({ references }) {
          calls += 1;
          if (calls >= 2) throw failure;
          return references.slice();
        },
      },
    });
    const frames = watchClose(framesOf(40), () => closed.push('frames'));
    const yielded: number[] = [];
    const run = async (): Promise<void> => {
      for await (const { index } of redrawFrames(frames, parts, figures)) yielded.push(index);
    };
    await expect(run()).rejects.toBe(failure);
    expect(yielded).toEqual(range(4));
    expect(closed.toSorted()).toEqual(['frames', 'mel chunks']);
  });

  it('When the caller stops early, frames and mel chunks are closed and no rejection is unhandled.', async () => {
    const closed: string[] = [];
    const { parts, figures } = sceneOf({
      frameCount: 40,
      melChunks: watchClose(chunksOf(40), () => closed.push('mel chunks')),
      // The second batch fails after the caller has stopped.
      engine: {
        generate: ({ faces }) =>
          faces[0] === 0 ? Promise.resolve(faces.slice()) : Promise.reject(new Error('late failure')),
      },
    });
    for await (const { index } of redrawFrames(
      watchClose(framesOf(40), () => closed.push('frames')),
      parts,
      figures,
    ))
      if (index === 1) break;
    expect(closed.toSorted()).toEqual(['frames', 'mel chunks']);
  });
});

describe('batchFramesOf', () => {
  const clip = { width: 1280, height: 720 };

  it('The batch size of the engine is used when memory permits.', () => {
    expect(batchFramesOf({ clip, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(32);
  });

  it('Large pictures reduce the batch, but to no less than one frame.', () => {
    expect(batchFramesOf({ clip: { width: 3840, height: 2160 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(10);
    expect(batchFramesOf({ clip: { width: 16_384, height: 16_384 }, engine: { batchSize: 32, cropSizePx: 96 } })).toBe(
      1,
    );
  });

  it('A batch fits in one engine message even with the maximum number of inferences per frame.', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1024 }),
        fc.integer({ min: 1, max: maxCropSizePx }),
        (batchSize, cropSizePx) => {
          expect(
            isPossibleCount(
              batchFramesOf({ clip, engine: { batchSize, cropSizePx } }) * maxInferencesPerFrame,
              cropSizePx,
            ),
          ).toBe(true);
        },
      ),
    );
    expect(batchFramesOf({ clip, engine: { batchSize: 32, cropSizePx: maxCropSizePx } })).toBe(21);
  });
});
