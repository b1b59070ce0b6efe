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
import { followFace } from '../providers/local/follow-face.ts';

export interface StudioTake {
  /** Names its files in the studio's folder. */
  readonly name: string;
  readonly clipPath: string;
  readonly speechPath: string;
  readonly modelPath: string;
  readonly syncMode?: SyncMode;
  readonly silenceMode?: SilenceMode;
  readonly windowStartMs?: number;
  readonly colorMatch?: boolean;
  readonly sharpen?: boolean;
  /** Faces per batch, instead of what suits the device. */
  readonly batchSize?: number;
}

export interface MadeTake {
  readonly takePath: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
  readonly report: TakeReport;
  readonly mouthCurvePath: string;
}

/** Makes Wav2Lip takes in this process, on real engines, with every setting of the task in hand. */
export interface Wav2LipStudio {
  make(take: StudioTake): Promise<MadeTake>;
  /** The clip laid along the same timeline and encoded alike, with nothing pasted. Returns its path. */
  makeUntouched(take: Pick<StudioTake, 'name' | 'clipPath' | 'speechPath' | 'syncMode'>): Promise<string>;
  /** The track that a take of this clip was made with. The caller closes it. */
  trackOf(made: Pick<MadeTake, 'clip' | 'timeline'> & { readonly clipPath: string }): Promise<FaceTrack>;
  close(): Promise<void>;
}

const limits: MediaLimits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };
const longestMs = 10 * 60_000;

/** Files go to `folder`, which is the caller's. Engines run on the CPU. */
export function openWav2LipStudio(folder: string): Wav2LipStudio {
  const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
  const resources = new RenderResources();
  const context = (): RenderTaskContext => ({
    signal: AbortSignal.timeout(longestMs),
    resources,
    onProgress: () => undefined,
  });
  const trackCacheFolder = join(folder, 'tracks');

  const prepare = async ({
    name,
    clipPath,
    speechPath,
    syncMode = 'cut_off',
  }: Pick<StudioTake, 'name' | 'clipPath' | 'speechPath' | 'syncMode'>) => {
    const clip = await probeClip(clipPath, { limits });
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode });
    return { clipPath, clip, speechPath, speech, timeline, workFolder: folder, takePath: join(folder, `${name}.mp4`) };
  };

  return {
    async make(take) {
      const prepared = await prepare(take);
      const { clip, timeline, speechPath, speech, takePath } = prepared;
      const mouthCurvePath = join(folder, `${take.name}.curve`);
      await analyzeSpeechTask({ speechPath, speechDurationMs: speech.durationMs, timeline, mouthCurvePath }, context());
      const { signal } = context();
      const lease = await pool.lease({ path: take.modelPath, cacheFolder: join(folder, 'models') }, { signal });
      try {
        const {
          windowStartMs = 0,
          silenceMode = 'generate',
          colorMatch = false,
          sharpen = false,
          batchSize = lease.engine.batchSize,
        } = take;
        const input = {
          ...prepared,
          clipDigest: digestOf(prepared),
          trackCacheFolder,
          mouthCurvePath,
          silenceMode,
          engine: { ...lease.engine, batchSize },
          windowStartMs,
          colorMatch,
          sharpen,
        };
        const report = await wav2lipTask(input, context());
        return { takePath, clip, timeline, report, mouthCurvePath };
      } finally {
        lease.release();
      }
    },
    async makeUntouched(take) {
      const input = await prepare(take);
      await passThroughTask(input, context());
      return input.takePath;
    },
    async trackOf({ clipPath, clip, timeline }) {
      const options = {
        clipPath,
        clipDigest: digestOf({ clipPath }),
        clip,
        timeline,
        trackCacheFolder,
        workFolder: folder,
      };
      return (await followFace(options, context())).track;
    },
    async close() {
      await pool.close();
      await (await resources.get(createFaceDetector)).close();
      await (await resources.get(loadVoiceSession)).release();
    },
  };
}

/** Clips of one studio are told apart by their paths. */
function digestOf({ clipPath }: { readonly clipPath: string }): string {
  return clipPath.replaceAll(/[^a-zA-Z0-9]/g, '-');
}
