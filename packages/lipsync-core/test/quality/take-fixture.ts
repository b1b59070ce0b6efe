import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { QualityRange } from '../../src/contract/quality.ts';
import { analyzeSpeechTask } from '../../src/audio/analyze-speech-task.ts';
import { passThroughTask, planTimeline, probeClip, probeSpeech } from '../../src/media/index.ts';
import { RenderResources, type RenderTaskContext } from '../../src/processes/render-task.ts';
import { previewTask } from '../../src/providers/preview/preview-task.ts';
import { compareLips, type CompareLipsInput } from '../../src/quality/unchanged-lips/compare-lips.ts';
import { limits } from '../media/make-media.ts';

const execute = promisify(execFile);
const resources = new RenderResources();

export function taskContext(): RenderTaskContext {
  return { signal: AbortSignal.timeout(300_000), resources, onProgress: () => undefined };
}

/** A clip with a speech, and the takes of both: with the clip's own lips, and with lips that preview has drawn. */
export interface TakeSet {
  readonly input: Omit<CompareLipsInput, 'takePath' | 'takeFacts'>;
  readonly oldPath: string;
  readonly movingPath: string;
}

/** Makes takes in one folder, which `dispose` deletes. */
export class TakeMaker implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<TakeMaker> {
    return new TakeMaker(await mkdtemp(join(tmpdir(), 'lipsync-take-check-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Runs ffmpeg; the last argument is the name of the output in the folder. Returns its path. */
  async ffmpeg(...args: readonly string[]): Promise<string> {
    const path = join(this.folder, args.at(-1) ?? '');
    await execute('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args.slice(0, -1), path]);
    return path;
  }

  /** Makes both takes. `modes` limits them, because drawn lips take the most time. */
  async make(clipPath: string, speechPath: string): Promise<TakeSet> {
    const name = `${basename(clipPath)}-${basename(speechPath)}`;
    const clip = await probeClip(clipPath, { limits });
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
    const mouthCurvePath = join(this.folder, `${name}.curve`);
    await analyzeSpeechTask({ speechPath, speech, timeline, mouthCurvePath }, taskContext());
    const task = { clipPath, clip, speechPath, speech, timeline, workFolder: this.folder };
    const oldPath = join(this.folder, `${name}-old.mp4`);
    const movingPath = join(this.folder, `${name}-moving.mp4`);
    await passThroughTask({ ...task, takePath: oldPath }, taskContext());
    const drawing = {
      clipDigest: name,
      mouthCurvePath,
      silenceMode: 'generate',
      trackCacheFolder: join(this.folder, 'tracks'),
      takePath: movingPath,
    } as const;
    await previewTask({ ...task, ...drawing }, taskContext());
    const given = { path: speechPath, sound: speech, mouthCurvePath };
    return { input: { clipPath, clip, speech: given, timeline }, oldPath, movingPath };
  }
}

export async function compare({ input }: Pick<TakeSet, 'input'>, takePath: string): Promise<readonly QualityRange[]> {
  const takeFacts = await probeClip(takePath, { limits });
  return (await compareLips({ ...input, takePath, takeFacts }, taskContext())).ranges;
}

/** The length of all ranges in milliseconds. */
export function totalMs(ranges: readonly QualityRange[]): number {
  return ranges.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
}
