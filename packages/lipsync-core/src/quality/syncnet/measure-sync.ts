import { abortError } from '../../errors/index.ts';
import type { ClipFacts } from '../../media/index.ts';
import { syncFramesPerSecond, windowsOf, type Stretch } from './choose-stretches.ts';
import { CropReader } from './crop-reader.ts';
import { embeddingDistance, maxShiftFrames, shiftCount } from './sync-distances.ts';
import type { SyncNetModel } from './syncnet-model.ts';
import type { VideoSound } from './video-sound.ts';

/** Windows that are embedded at once. */
const batchWindows = 8;
/** Windows of a chunk, whose embeddings are kept: 2 MB. */
const maxChunkWindows = 10 * syncFramesPerSecond;

export interface SyncVideo {
  readonly path: string;
  readonly facts: ClipFacts;
  readonly sound: VideoSound;
}

/** Distances of picture windows from the sounds around them. */
export interface SyncDistances {
  /** `shiftCount` distances per row. */
  readonly distances: Float32Array;
  /** Frame at 25 fps of each row, ascending. */
  readonly frames: Int32Array;
  /** Whether the frames were found by seeking. */
  readonly didSeek: boolean;
}

export interface MeasureOptions {
  readonly model: SyncNetModel;
  readonly signal: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Decodes a video at 25 fps and measures the distance of every window of the stretches from the sounds within ±15 frames, as
 * the evaluation protocol of SyncNet does on the track of a face: sounds outside of the track are zero vectors. Memory is
 * bounded but for the distances, 3 kB per second.
 */
export async function measureSync(
  video: SyncVideo,
  stretches: readonly Stretch[],
  options: MeasureOptions,
): Promise<SyncDistances> {
  const chunks = stretches.flatMap(splitStretch).toSorted((first, second) => first.start - second.start);
  const rowCount = chunks.reduce((sum, { start, end }) => sum + end - start, 0);
  const result = { distances: new Float32Array(rowCount * shiftCount), frames: new Int32Array(rowCount) };
  const reader = new CropReader({ path: video.path, facts: video.facts, stretches: chunks, signal: options.signal });
  let row = 0;
  try {
    for (const chunk of chunks) {
      const embedded = await embedChunk(chunk, video.sound, { reader, ...options });
      embedded.lips.forEach((lip, index) => {
        result.frames[row] = chunk.start + index;
        for (let shift = 0; shift < shiftCount; shift += 1) {
          const sound = embedded.sounds[chunk.start + index + shift - maxShiftFrames - embedded.firstSound];
          result.distances[row * shiftCount + shift] = embeddingDistance(lip, sound);
        }
        row += 1;
      });
      options.onProgress?.(row / rowCount);
    }
  } finally {
    await reader.close();
  }
  return { ...result, didSeek: reader.didSeek };
}

function splitStretch({ track, start, end }: Stretch): Stretch[] {
  const count = Math.ceil((end - start) / maxChunkWindows);
  return Array.from({ length: count }, (_, index) => {
    const first = start + index * maxChunkWindows;
    return { track, start: first, end: Math.min(end, first + maxChunkWindows) };
  });
}

interface EmbeddedChunk {
  readonly lips: readonly Float32Array[];
  readonly sounds: readonly Float32Array[];
  /** Frame of the first sound. */
  readonly firstSound: number;
}

/** Embeds pictures and sounds of a chunk in common batches, so that the runtime uses all threads for both. */
async function embedChunk(
  { track, start, end }: Stretch,
  sound: VideoSound,
  { reader, model, signal }: MeasureOptions & { readonly reader: CropReader },
): Promise<EmbeddedChunk> {
  const range = windowsOf(track, sound.frameCount);
  const firstSound = Math.max(range.start, start - maxShiftFrames);
  const soundCount = Math.min(range.end, end + maxShiftFrames) - firstSound;
  const lips: Float32Array[] = [];
  const sounds: Float32Array[] = [];
  const batches = Math.ceil((end - start) / batchWindows);
  for (let batch = 0; batch < batches; batch += 1) {
    if (signal.aborted) throw abortError(signal);
    const pictures: (readonly Uint8Array[])[] = [];
    for (
      let frame = start + batch * batchWindows;
      frame < Math.min(end, start + (batch + 1) * batchWindows);
      frame += 1
    )
      pictures.push(await reader.windowAt(frame));
    const nextSound = Math.ceil((soundCount * (batch + 1)) / batches);
    const windows = Array.from({ length: nextSound - sounds.length }, (_, index) =>
      sound.windowAt(firstSound + sounds.length + index),
    );
    const embedded = await model.embed(pictures, windows);
    lips.push(...embedded.lips);
    sounds.push(...embedded.sounds);
  }
  return { lips, sounds, firstSound };
}
