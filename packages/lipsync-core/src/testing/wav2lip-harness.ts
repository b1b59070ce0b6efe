import { join } from 'node:path';
import type { SilenceMode, SyncMode } from '../contract/index.ts';
import { createFaceDetector, type FaceTrack } from '../face/index.ts';
import {
  passThroughTask,
  planTimeline,
  probeClip,
  probeSpeech,
  type ClipFacts,
  type MediaLimits,
  type TakeReport,
  type Timeline,
} from '../media/index.ts';
import { EnginePool } from '../providers/wav2lip/engine/engine-pool.ts';
import { analyzeSpeechTask, loadVoiceSession } from '../audio/analyze-speech-task.ts';
import { RenderResources, type RenderTaskContext } from '../processes/render-task.ts';
import { wav2lipTask } from '../providers/wav2lip/wav2lip-task.ts';
import { followShownFace } from '../face/face-tracking.ts';

export interface HarnessTake {
  /** Base name of the take's files in the harness folder. */
  readonly name: string;
  readonly clipPath: string;
  readonly speechPath: string;
  readonly modelPath: string;
  readonly syncMode?: SyncMode;
  readonly silenceMode?: SilenceMode;
  readonly windowStartMs?: number;
  readonly colorMatch?: boolean;
  readonly sharpen?: boolean;
  /** Faces per batch. Defaults to the batch size of the device. */
  readonly batchSize?: number;
}

export interface MadeTake {
  readonly takePath: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
  readonly report: TakeReport;
  readonly mouthCurvePath: string;
}

type TakeInputs = Pick<HarnessTake, 'name' | 'clipPath' | 'speechPath' | 'syncMode'>;

const limits: MediaLimits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };
const timeoutMs = 10 * 60_000;

/** Makes Wav2Lip takes in this process with real engines on the CPU. The caller owns the folder. */
export class Wav2LipHarness {
  readonly #folder: string;
  readonly #pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
  readonly #resources = new RenderResources();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async makeTake(take: HarnessTake): Promise<MadeTake> {
    const prepared = await this.#prepare(take);
    const { clip, timeline, speechPath, speech, takePath } = prepared;
    const mouthCurvePath = join(this.#folder, `${take.name}.curve`);
    await analyzeSpeechTask({ speechPath, speech, timeline, mouthCurvePath }, this.#context());
    const { signal } = this.#context();
    const source = { path: take.modelPath, cacheFolder: join(this.#folder, 'models') };
    const lease = await this.#pool.lease(source, { signal });
    try {
      const input = {
        ...prepared,
        clipDigest: pathDigest(take.clipPath),
        trackCacheFolder: this.#trackCacheFolder,
        mouthCurvePath,
        silenceMode: take.silenceMode ?? 'generate',
        engine: { ...lease.engine, batchSize: take.batchSize ?? lease.engine.batchSize },
        windowStartMs: take.windowStartMs ?? 0,
        colorMatch: take.colorMatch ?? false,
        sharpen: take.sharpen ?? false,
      };
      const report = await wav2lipTask(input, this.#context());
      return { takePath, clip, timeline, report, mouthCurvePath };
    } finally {
      lease.release();
    }
  }

  /** Encodes the clip along the same timeline without generated faces. Returns the path of the video. */
  async makePassThrough(take: TakeInputs): Promise<string> {
    const input = await this.#prepare(take);
    await passThroughTask(input, this.#context());
    return input.takePath;
  }

  /** Opens the face track of a take. The caller closes it. */
  async openTrack({
    clipPath,
    clip,
    timeline,
  }: Pick<MadeTake, 'clip' | 'timeline'> & { readonly clipPath: string }): Promise<FaceTrack> {
    const options = {
      clipPath,
      clipDigest: pathDigest(clipPath),
      clip,
      timeline,
      trackCacheFolder: this.#trackCacheFolder,
      workFolder: this.#folder,
    };
    const followed = await followShownFace(options, this.#context());
    return (await followed.complete()).track;
  }

  async close(): Promise<void> {
    await this.#pool.close();
    await (await this.#resources.get(createFaceDetector)).close();
    await (await this.#resources.get(loadVoiceSession)).release();
  }

  get #trackCacheFolder(): string {
    return join(this.#folder, 'tracks');
  }

  #context(): RenderTaskContext {
    return { signal: AbortSignal.timeout(timeoutMs), resources: this.#resources, onProgress: () => undefined };
  }

  async #prepare({ name, clipPath, speechPath, syncMode = 'cut_off' }: TakeInputs) {
    const clip = await probeClip(clipPath, { limits });
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode });
    const takePath = join(this.#folder, `${name}.mp4`);
    return { clipPath, clip, speechPath, speech, timeline, workFolder: this.#folder, takePath };
  }
}

/** Clips of one harness are identified by their paths. */
function pathDigest(clipPath: string): string {
  return clipPath.replaceAll(/[^a-zA-Z0-9]/g, '-');
}
