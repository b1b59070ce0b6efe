import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { landmarkCount } from '../../../face/face-types.ts';
import type { Frame } from '../../../media/index.ts';
import type { FaceBatch as SentBatch } from '../engine/engine-client.ts';
import { melChunkLength } from '../features/index.ts';
import type { FacePaste } from '../picture/index.ts';
import { planFrame } from './frame-plan.ts';
import { heldFrames, redrawFrames, type RedrawFigures, type RedrawParts } from './redraw-frames.ts';

const cropSizePx = 2;
const faceBytes = cropSizePx * cropSizePx * 3;
const closedMouth = new Uint8Array(faceBytes).fill(99);

/** A face that can be placed: a square outline, eyes on a level. */
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
  readonly batches: SentBatch[];
  readonly pastes: FacePaste[];
  /** Frames before whose paste the shade was forgotten. */
  readonly shotStarts: number[];
}

/** An engine that gives back the crops, each of them full of its frame's number. */
function sceneOf(more: Partial<RedrawParts> & { readonly frameCount: number }): Scene {
  const batches: SentBatch[] = [];
  const pastes: FacePaste[] = [];
  const shotStarts: number[] = [];
  return {
    figures: { cropMs: 0, pasteMs: 0, waitMs: 0, bytesDrawn: 0 },
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
        startShot: () => void shotStarts.push(pastes.length),
      },
      melChunks: chunksOf(more.frameCount),
      faceOf: () => ({ face: { presence: 'found', points }, shot: 0 }),
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

const counted = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('redrawing frames', () => {
  it('passes every frame on in order, each with its own crop, sound and drawing, whatever the batch', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(40), fc.integer({ min: 1, max: 9 }), async (frameCount, batchFrames) => {
        const { parts, figures, batches, pastes } = sceneOf({ frameCount, batchFrames });
        expect(await indexesOf(redrawFrames(framesOf(frameCount), parts, figures))).toEqual(counted(frameCount));
        expect(pastes.map(({ generated, source }) => [generated[0], source[0]])).toEqual(
          counted(frameCount).map((index) => [index, index]),
        );
        expect(
          batches.flatMap(({ count, mel }) => counted(count).map((drawing) => mel[drawing * melChunkLength])),
        ).toEqual(counted(frameCount));
        expect(batches.every(({ count }) => count > 0 && count <= batchFrames)).toBe(true);
        expect(figures.bytesDrawn).toBe(frameCount * 7);
      }),
    );
  });

  it('holds as many frames at once as it says, never more and not fewer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), async (batchFrames) => {
        const frameCount = batchFrames * 5 + 1;
        const { parts, figures } = sceneOf({ frameCount, batchFrames });
        let asked = 0;
        let passedOn = 0;
        let most = 0;
        async function* countedFrames(): AsyncGenerator<Frame> {
          for await (const frame of framesOf(frameCount)) {
            asked += 1;
            most = Math.max(most, asked - passedOn);
            yield frame;
          }
        }
        for await (const { index } of redrawFrames(countedFrames(), parts, figures)) passedOn = index + 1;
        expect(most).toBe(heldFrames(batchFrames));
      }),
    );
  });

  it('asks for nothing where there is no face, and for nothing in a batch without any', async () => {
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 20,
      faceOf: ({ index }) => ({
        face: index < 10 ? { presence: 'absent', points: new Float32Array(0) } : { presence: 'found', points },
        shot: 0,
      }),
    });
    expect(await indexesOf(redrawFrames(framesOf(20), parts, figures))).toEqual(counted(20));
    expect(batches.map(({ count }) => count)).toEqual([2, 4, 4]);
    expect(pastes.map(({ source }) => source[0])).toEqual(counted(20).slice(10));
  });

  it('mixes the spoken and the closed mouth where a closed pause begins', async () => {
    const { parts, figures, batches, pastes } = sceneOf({
      frameCount: 3,
      planOf: ({ index }) => planFrame('close', 1 - index / 2),
    });
    await indexesOf(redrawFrames(framesOf(3), parts, figures));
    expect(batches.map(({ count }) => count)).toEqual([4]);
    expect(pastes.map(({ generated }) => generated[0])).toEqual([0, Math.round(1 * 0.5 + 99 * 0.5), 99]);
    expect(pastes.map(({ source }) => source[0])).toEqual([0, 1, 2]);
  });

  it('is silent where the sound has ended', async () => {
    const { parts, figures, batches } = sceneOf({ frameCount: 2, batchFrames: 4 });
    await indexesOf(redrawFrames(framesOf(3), parts, figures));
    expect(batches[0]?.mel[2 * melChunkLength]).toBe(-4);
  });

  it('finds the shade anew at a cut and where the clip starts again, not where it turns round', async () => {
    const cut = sceneOf({
      frameCount: 8,
      faceOf: ({ clipFrame }) => ({ face: { presence: 'found', points }, shot: clipFrame < 5 ? 0 : 1 }),
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

describe('redrawing that is ended', () => {
  /** Says whether what is read was closed. */
  async function* closing<Value>(values: AsyncIterable<Value>, onClosed: () => void): AsyncGenerator<Value> {
    try {
      yield* values;
    } finally {
      onClosed();
    }
  }

  it('by an engine that gives up throws its reason once, and closes frames and sound', async () => {
    const closed: string[] = [];
    const failure = new Error('engine lost');
    let asked = 0;
    const { parts, figures } = sceneOf({
      frameCount: 40,
      melChunks: closing(chunksOf(40), () => closed.push('sound')),
      engine: {
        async generate({ references }) {
          asked += 1;
          if (asked >= 2) throw failure;
          return references.slice();
        },
      },
    });
    const frames = closing(framesOf(40), () => closed.push('frames'));
    const passedOn: number[] = [];
    const run = async (): Promise<void> => {
      for await (const { index } of redrawFrames(frames, parts, figures)) passedOn.push(index);
    };
    await expect(run()).rejects.toBe(failure);
    expect(passedOn).toEqual(counted(4));
    expect(closed.toSorted()).toEqual(['frames', 'sound']);
  });

  it('by whoever takes the frames leaves nothing open and nothing unheard', async () => {
    const closed: string[] = [];
    const { parts, figures } = sceneOf({
      frameCount: 40,
      melChunks: closing(chunksOf(40), () => closed.push('sound')),
      // The second batch fails after everybody has gone.
      engine: {
        generate: ({ faces }) =>
          faces[0] === 0 ? Promise.resolve(faces.slice()) : Promise.reject(new Error('nobody listens')),
      },
    });
    for await (const { index } of redrawFrames(
      closing(framesOf(40), () => closed.push('frames')),
      parts,
      figures,
    ))
      if (index === 1) break;
    expect(closed.toSorted()).toEqual(['frames', 'sound']);
  });
});
