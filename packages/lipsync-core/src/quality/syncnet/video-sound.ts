import { mfccCount, MfccStream } from '../../audio/mfcc.ts';
import { analysisSampleRateHz } from '../../audio/speech-features.ts';
import { RowBuffer } from '../../audio/time-series.ts';
import { readVideoSound } from '../lips/video-speech.ts';
import { syncFramesPerSecond } from './choose-stretches.ts';
import { windowMfccRows } from './syncnet-network.ts';

/** Rows of MFCC per frame at 25 fps. */
const rowsPerFrame = 4;
const samplesPerFrame = analysisSampleRateHz / syncFramesPerSecond;

/** The sound of a video as SyncNet takes it: about 5 kB per second. */
export class VideoSound {
  /** Whole frames at 25 fps that the sound covers. */
  readonly frameCount: number;
  readonly #rows: Float32Array;

  private constructor(rows: Float32Array, frameCount: number) {
    this.#rows = rows;
    this.frameCount = frameCount;
  }

  /** Decodes the sound of a video. Throws the errors of `readSpeech`. */
  static async read(path: string, signal: AbortSignal): Promise<VideoSound> {
    const rows = new RowBuffer(mfccCount);
    const stream = new MfccStream((row) => rows.append(row));
    let samples = 0;
    for await (const chunk of readVideoSound(path, signal)) {
      stream.push(chunk);
      samples += chunk.length;
    }
    stream.finish();
    return new VideoSound(rows.toArray(), Math.floor(samples / samplesPerFrame));
  }

  /** The rows of the sound window that starts with a frame. */
  windowAt(frame: number): Float32Array {
    const start = frame * rowsPerFrame * mfccCount;
    return this.#rows.subarray(start, start + windowMfccRows * mfccCount);
  }

  /** Mean log energy of the sound in a frame. */
  loudnessAt(frame: number): number {
    let sum = 0;
    for (let row = frame * rowsPerFrame; row < (frame + 1) * rowsPerFrame; row += 1)
      sum += this.#rows[row * mfccCount] ?? 0;
    return sum / rowsPerFrame;
  }
}
