import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Quality } from '../../packages/lipsync-core/src/contract/quality.ts';
import { analyzeSpeechTask } from '../../packages/lipsync-core/src/audio/analyze-speech-task.ts';
import { planTimeline, probeClip, probeSpeech } from '../../packages/lipsync-core/src/media/index.ts';
import { RenderResources, type RenderTaskContext } from '../../packages/lipsync-core/src/processes/render-task.ts';
import type { AssessmentInput } from '../../packages/lipsync-core/src/quality/analyzer.ts';
import { analyzers } from '../../packages/lipsync-core/src/quality/assessment/analyzers.ts';
import { assessVideoTask } from '../../packages/lipsync-core/src/quality/assessment/assess-video-task.ts';
import { loadSound, soundFaults, writeSound } from '../../packages/lipsync-core/src/testing/sound-faults.ts';
import { samplePaths } from './scratch-stack.ts';

const seconds = 6;
/** Names of faults, comma-separated; all by default. */
const selected = process.env['QUALITY_FAULTS']?.split(',');
const limits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };
/** Largest change of the score of a part that a fault of the other kind may cause. */
const maxSideEffect = 0.05;

/** A fault of the picture: the filter of ffmpeg that causes it, by level. */
interface PictureFault {
  readonly part: string;
  readonly unit: string;
  readonly levels: readonly number[];
  filter(level: number): string;
}

const pictureFaults: Readonly<Record<string, PictureFault>> = {
  blur: {
    part: 'face_sharpness',
    unit: 'sigma',
    levels: [0.6, 1, 1.6, 2.5],
    filter: (sigma) => `gblur=sigma=${sigma}`,
  },
  blocks: {
    part: 'blockiness',
    unit: 'share',
    levels: [0.25, 0.5, 0.75, 1],
    // A picture of mean values per 8 × 8 block, mixed into the picture.
    filter: (share) =>
      `split[a][b];[b]scale=iw/8:ih/8:flags=area,scale=iw*8:ih*8:flags=neighbor[c];[a][c]blend=all_expr='A*(1-${share})+B*${share}'`,
  },
  'frozen frames': {
    part: 'frozen_frames',
    unit: 'frames of 50',
    // The part counts repetitions of at least 240 ms: 6 frames.
    levels: [7, 10, 20, 30],
    filter: (count) => `select='lt(mod(n,50),${50 - count})',fps=25`,
  },
  'color shift': {
    part: 'color_shift',
    unit: 'levels',
    levels: [3, 6, 12, 24],
    filter: (level) => `lutyuv=u=val+${level}:v=val-${level}`,
  },
  'visible box': {
    part: 'seam',
    unit: 'opacity',
    levels: [0.06, 0.12, 0.25, 0.5],
    // White over the lower face of the presenter.
    filter: (opacity) => `drawbox=x=250:y=170:w=150:h=110:color=white@${opacity}:t=fill`,
  },
  'box in a third': {
    part: 'seam',
    unit: 'opacity',
    levels: [0.06, 0.12, 0.25, 0.5],
    filter: (opacity) => `drawbox=x=250:y=170:w=150:h=110:color=white@${opacity}:t=fill:enable='between(t,2,3.99)'`,
  },
  jitter: {
    part: 'head_jitter',
    unit: 'px',
    levels: [1, 2, 3, 5],
    filter: (px) => `pad=iw+20:ih+20:10:10,crop=iw-20:ih-20:10+${px}*(2*mod(n\\,2)-1):10`,
  },
};

interface Fault {
  readonly name: string;
  readonly kind: 'audio_quality' | 'video_quality';
  readonly part: string;
  readonly unit: string;
  readonly levels: readonly number[];
  /** Makes the damaged video. */
  make(level: number, path: string): Promise<void>;
}

/**
 * Damages the picture and the sound of a video in steps. Every step must lower the score of the part that measures the
 * fault, within 0 to 1, and move no part of the other kind by 5 %.
 */
export async function proveQualityFaults(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-faults-'));
  try {
    const base = await prepare(folder);
    const clean = await base.assess(base.videoPath);
    console.log(
      '| fault | level | part | value | score | audio_quality | video_quality | largest change of the other kind |',
    );
    console.log('|---|---|---|---|---|---|---|---|');
    console.log(`| none | | | | | ${clean.audioQuality} | ${clean.videoQuality} | |`);
    let holds = true;
    for (const fault of listFaults(base)) holds = (await measureFault(fault, base, clean)) && holds;
    return holds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Base {
  readonly folder: string;
  readonly videoPath: string;
  readonly speechPath: string;
  assess(path: string): Promise<Quality>;
}

/** A short copy of the sample with its speech: source and take are equal until the take is damaged. */
async function prepare(folder: string): Promise<Base> {
  const clipPath = join(folder, 'clip.mp4');
  const speechPath = join(folder, 'speech.wav');
  const videoPath = join(folder, 'take.mp4');
  const encoding = ['-vf', 'scale=640:-2', '-c:v', 'libx264', '-crf', '14', '-preset', 'veryfast'];
  await ffmpeg('-t', `${seconds}`, '-i', samplePaths.videoPath, ...encoding, '-an', clipPath);
  await ffmpeg('-t', `${seconds}`, '-i', samplePaths.audioPath, speechPath);
  await ffmpeg('-i', clipPath, '-i', speechPath, '-c:v', 'copy', '-c:a', 'aac', '-b:a', '192k', '-shortest', videoPath);
  const clip = await probeClip(clipPath, { limits });
  const speech = await probeSpeech(speechPath, { limits });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
  const mouthCurvePath = join(folder, 'curve');
  const context = createContext();
  await analyzeSpeechTask({ speechPath, speech, timeline, mouthCurvePath }, context);
  const source = { clipPath, clipDigest: 'faults', clip, timeline };
  const assess = async (path: string): Promise<Quality> => {
    const input: AssessmentInput = {
      videoPath: path,
      source,
      speech: { path: speechPath, sound: speech, mouthCurvePath },
      trackCacheFolder: join(folder, 'tracks'),
      workFolder: folder,
    };
    return (await assessVideoTask({ ...input, limits, models: {} }, context)).quality;
  };
  return { folder, videoPath, speechPath, assess };
}

function listFaults({ videoPath, speechPath, folder }: Base): readonly Fault[] {
  const sounds = Object.entries(soundFaults).map(([name, { part, unit, levels, make }]): Fault => ({
    name,
    kind: 'audio_quality',
    part,
    unit,
    levels,
    async make(level, path) {
      const damaged = await writeSound(join(folder, 'damaged.wav'), make(await loadSound(speechPath), level));
      await ffmpeg(
        '-i',
        videoPath,
        '-i',
        damaged,
        '-map',
        '0:v',
        '-map',
        '1:a',
        '-c:v',
        'copy',
        '-c:a',
        'aac',
        '-b:a',
        '192k',
        path,
      );
    },
  }));
  const pictures = Object.entries(pictureFaults).map(([name, { part, unit, levels, filter }]): Fault => ({
    name,
    kind: 'video_quality',
    part,
    unit,
    levels,
    async make(level, path) {
      const encoding = ['-c:v', 'libx264', '-crf', '14', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-c:a', 'copy'];
      await ffmpeg('-i', videoPath, '-vf', filter(level), ...encoding, path);
    },
  }));
  return [...sounds, ...pictures].filter(({ name }) => selected?.includes(name) ?? true);
}

async function measureFault(fault: Fault, { folder, assess }: Base, clean: Quality): Promise<boolean> {
  let holds = true;
  let previous = clean.parts[fault.part]?.score ?? NaN;
  for (const level of fault.levels) {
    const path = join(folder, 'damaged.mp4');
    await fault.make(level, path);
    const quality = await assess(path);
    const { value = null, score = null } = quality.parts[fault.part] ?? {};
    const side = largestChange(clean, quality, fault.kind === 'audio_quality' ? 'video_quality' : 'audio_quality');
    const lower = score !== null && score >= 0 && score < previous;
    const isolated = side.change < maxSideEffect;
    const cells = [
      fault.name,
      `${level} ${fault.unit}`,
      fault.part,
      value,
      `${score?.toFixed(3)}${lower ? '' : ' (not lower)'}`,
      quality.audioQuality,
      quality.videoQuality,
      `${(100 * side.change).toFixed(1)} % (${side.name})${isolated ? '' : ' (too large)'}`,
    ];
    console.log(`| ${cells.join(' | ')} |`);
    holds &&= lower && isolated;
    previous = score ?? NaN;
  }
  return holds;
}

/** The part that counts in `kind` whose score differs most. */
function largestChange(
  clean: Quality,
  damaged: Quality,
  kind: Fault['kind'],
): { readonly name: string; readonly change: number } {
  let largest = { name: 'none', change: 0 };
  for (const { name, countsIn } of analyzers.flatMap(({ parts }) => parts)) {
    if (countsIn !== kind) continue;
    const [before, after] = [clean.parts[name]?.score ?? null, damaged.parts[name]?.score ?? null];
    const change = before === null || after === null ? Number(before !== after) : Math.abs(after - before);
    if (change > largest.change) largest = { name, change };
  }
  return largest;
}

function createContext(): RenderTaskContext {
  return {
    signal: AbortSignal.timeout(60 * 60_000),
    resources: new RenderResources(),
    onProgress: () => undefined,
  };
}

async function ffmpeg(...args: readonly string[]): Promise<void> {
  await promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args]);
}
