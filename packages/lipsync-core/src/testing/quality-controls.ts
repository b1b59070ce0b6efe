import { execFile } from 'node:child_process';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { analyzeSpeechTask } from '../audio/analyze-speech-task.ts';
import { readMouthCurve, writeMouthCurve, type MouthCurve } from '../audio/mouth-curve-file.ts';
import {
  framesPerSecond,
  openFrames,
  passThroughTask,
  planTimeline,
  probeClip,
  probeSpeech,
  type ClipFacts,
  type Timeline,
} from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { previewTask } from '../providers/preview/preview-task.ts';
import type { Analyzer, AssessmentInput, Findings } from '../quality/analyzer.ts';
import { FaceReader } from '../quality/lips/face-reader.ts';
import { lipAnalyzer } from '../quality/lips/lip-analyzer.ts';
import { SoundFeed } from '../quality/lips/sound-feed.ts';
import { measureVideoSpeech, soundOfNone, type VideoSpeech } from '../quality/lips/video-speech.ts';
import { unchangedLipsAnalyzer } from '../quality/unchanged-lips/unchanged-lips-analyzer.ts';

const execute = promisify(execFile);
const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 8192 };

export interface ControlInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  /** Another recording, of at least the same length. */
  readonly otherSpeechPath: string;
  /** For all files; the caller deletes it. */
  readonly folder: string;
  readonly context: RenderTaskContext;
}

/** A take with a known fault, or without one, and what was found in it. */
export interface Control {
  readonly name: string;
  readonly findings: Findings;
  readonly labels: readonly string[];
}

/** A chord that is struck twice a second, instead of the sound. */
const chords = "aeval='0.2*(sin(2*PI*220*t)+sin(2*PI*277*t)+sin(2*PI*330*t))*exp(-3*mod(t,0.5))'";

/** Shifts of the sound in frames at 25 fps; positive values delay it. */
const soundShifts = [-10, -5, 5, 10] as const;

/**
 * Makes takes of one clip and speech with known faults and measures their lips. The picture of each take is measured
 * once, and then judged with every sound.
 */
export async function measureControls(inputs: ControlInputs): Promise<readonly Control[]> {
  const maker = await ControlMaker.create(inputs);
  const own = await maker.sound(inputs.speechPath);
  const preview = await maker.lips(await maker.draw('preview', (curve) => curve));
  const controls = [preview.judge('preview', own)];
  for (const frames of soundShifts) {
    const sound = await maker.sound(inputs.speechPath, shiftFilter(frames * 40));
    controls.push(preview.judge(`sound ${frames > 0 ? '+' : '−'}${Math.abs(frames)} frames`, sound));
  }
  const frozen = await maker.lips(await maker.draw('frozen', freeze));
  const silence = await maker.sound(inputs.speechPath, 'volume=0');
  controls.push(
    preview.judge('other speech', await maker.sound(inputs.otherSpeechPath)),
    preview.judge('reversed sound', await maker.sound(inputs.speechPath, 'areverse')),
    preview.judge('silence', silence),
    preview.judge('chords', await maker.sound(inputs.speechPath, chords)),
    preview.judge('no sound', soundOfNone),
    (await maker.lips(await maker.draw('flapping', flap))).judge('mouth flaps with loudness', own),
    frozen.judge('frozen mouth', own),
    frozen.judge('frozen mouth in silence', silence),
    (await maker.lips(await maker.passThrough())).judge('untouched clip', own),
    (await maker.lips(await maker.still())).judge('lips of a still', own),
  );
  return Promise.all(controls);
}

/** A mouth that follows loudness alone: no shape and no closures. */
function flap(curve: MouthCurve, loudness: Float32Array): MouthCurve {
  const none = new Float32Array(loudness.length);
  return { open: loudness, wide: none, closure: none, voiced: curve.voiced };
}

function freeze({ open }: MouthCurve): MouthCurve {
  const all = (value: number): Float32Array => new Float32Array(open.length).fill(value);
  return { open: all(0.15), wide: all(0), closure: all(0), voiced: all(1) };
}

function shiftFilter(delayMs: number): string {
  return delayMs > 0 ? `adelay=${delayMs}:all=1` : `atrim=start=${-delayMs / 1000},asetpts=PTS-STARTPTS`;
}

type TakeInputs = Omit<Parameters<typeof previewTask>[0], 'takePath'>;

class ControlMaker {
  readonly #inputs: ControlInputs;
  readonly #task: TakeInputs;

  private constructor(inputs: ControlInputs, task: TakeInputs) {
    this.#inputs = inputs;
    this.#task = task;
  }

  static async create(inputs: ControlInputs): Promise<ControlMaker> {
    const { clipPath, speechPath, folder, context } = inputs;
    const clip = await probeClip(clipPath, { limits });
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
    const mouthCurvePath = join(folder, 'curve');
    await analyzeSpeechTask({ speechPath, speech, timeline, mouthCurvePath }, context);
    const trackCacheFolder = join(folder, 'tracks');
    const files = { clipPath, clipDigest: basename(clipPath), speechPath, mouthCurvePath, trackCacheFolder };
    return new ControlMaker(inputs, { ...files, clip, speech, timeline, silenceMode: 'generate', workFolder: folder });
  }

  /** Draws a take with a changed mouth curve. Returns its path. */
  async draw(name: string, change: (curve: MouthCurve, loudness: Float32Array) => MouthCurve): Promise<string> {
    const { folder, context } = this.#inputs;
    const { timeline, mouthCurvePath, speechPath } = this.#task;
    const curve = await readMouthCurve(mouthCurvePath, timeline.frameCount);
    const changedPath = join(folder, `${name}.curve`);
    const takePath = join(folder, `${name}.mp4`);
    await writeMouthCurve(changedPath, change(curve, loudnessOf(await this.sound(speechPath), timeline)));
    await previewTask({ ...this.#task, mouthCurvePath: changedPath, takePath }, context);
    return takePath;
  }

  async passThrough(): Promise<string> {
    const takePath = join(this.#inputs.folder, 'untouched.mp4');
    await passThroughTask({ ...this.#task, takePath }, this.#inputs.context);
    return takePath;
  }

  /** The first picture of the clip as a video. */
  still(): Promise<string> {
    const { clipPath, timeline } = this.#task;
    const rate = `${timeline.frameRate.numerator}/${timeline.frameRate.denominator}`;
    const hold = `trim=end_frame=1,tpad=stop_mode=clone:stop_duration=3600,fps=${rate}`;
    return this.#ffmpeg('-i', clipPath, '-an', '-vf', hold, '-frames:v', String(timeline.frameCount), 'still.mp4');
  }

  async sound(path: string, filter = 'anull'): Promise<VideoSpeech> {
    const name = `${basename(path)}-${filter.replaceAll(/\W/g, '-')}.wav`;
    const changed = await this.#ffmpeg('-i', path, '-vn', '-af', `${filter},apad`, '-t', this.#durationS, name);
    const { frameRate, frameCount } = this.#task.timeline;
    const { context } = this.#inputs;
    const feed = await SoundFeed.open(changed, context.signal);
    return measureVideoSpeech(feed, { frameRate, frameCount }, context);
  }

  /** Measures the lips of a take. */
  async lips(videoPath: string): Promise<MeasuredLips> {
    const { context, folder } = this.#inputs;
    const {
      clipPath,
      clipDigest,
      clip,
      timeline,
      speechPath,
      mouthCurvePath,
      trackCacheFolder,
      speech: sound,
    } = this.#task;
    const source = { clipPath, clipDigest, clip, timeline };
    const speech = { path: speechPath, sound, mouthCurvePath };
    return readLips({ videoPath, source, speech, trackCacheFolder, workFolder: folder }, context);
  }

  get #durationS(): string {
    return (this.#task.timeline.durationMs / 1000).toFixed(3);
  }

  /** The last argument is the name of the output in the folder. Returns its path. */
  async #ffmpeg(...args: readonly string[]): Promise<string> {
    const path = join(this.#inputs.folder, args.at(-1) ?? '');
    await execute('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args.slice(0, -1), path]);
    return path;
  }
}

/** Amplitude per frame, 1 for the loud parts. */
function loudnessOf({ levelDb, stepsPerSecond, speechLevelDb }: VideoSpeech, timeline: Timeline): Float32Array {
  return Float32Array.from({ length: timeline.frameCount }, (_, frame) => {
    const step = Math.floor(((frame + 0.5) / framesPerSecond(timeline.frameRate)) * stepsPerSecond);
    return Math.min(1, 10 ** (((levelDb[step] ?? -160) - speechLevelDb) / 20));
  });
}

/** Measures the lips of a video once, for any number of sounds. */
export async function readLips(input: AssessmentInput, context: RenderTaskContext): Promise<MeasuredLips> {
  const { resources, signal } = context;
  const { videoPath } = input;
  const facts = await probeClip(videoPath, { limits });
  const { frameCount } = facts;
  const rate = framesPerSecond(facts.frameRate);
  const video = { input, models: {}, limits, facts, framesPerSecond: rate, frameCount, resources, signal };
  const faces = await FaceReader.open(video, () => undefined);
  const sound = await SoundFeed.open(videoPath, signal);
  const analyzers: Analyzer[] = [];
  for (const definition of [lipAnalyzer, unchangedLipsAnalyzer]) {
    const analyzer = await definition.create({ ...video, faces, sound });
    if (analyzer) analyzers.push(analyzer);
  }
  for await (const frame of openFrames({ path: videoPath, facts, range: { start: 0, end: frameCount } })) {
    const points = await faces.measure(frame.index, frame);
    const source = faces.sourceFrameAt(frame.index);
    const assessed = {
      index: frame.index,
      timeMs: (frame.index * 1000) / rate,
      picture: frame,
      points,
      isMeasured: frame.index % faces.every === 0,
      source: source && { ...source, picture: undefined },
    };
    for (const analyzer of analyzers) await analyzer.add?.(assessed);
  }
  faces.close();
  return new MeasuredLips(facts, analyzers);
}

/** The lips of a video, to be judged with a sound. */
export class MeasuredLips {
  readonly facts: ClipFacts;
  readonly #analyzers: readonly Analyzer[];

  constructor(facts: ClipFacts, analyzers: readonly Analyzer[]) {
    this.facts = facts;
    this.#analyzers = analyzers;
  }

  async judge(name: string, sound: VideoSpeech): Promise<Control> {
    const all: Findings[] = [];
    for (const analyzer of this.#analyzers) all.push(await analyzer.finish(sound));
    const labels = all.flatMap((findings) => findings.labels ?? []).map(({ code }) => code);
    return { name, findings: Object.assign({}, ...all.toReversed()), labels };
  }
}

/** The faults that each part claims to see. A part without a claim is not reported. */
export const controlClaims: readonly { readonly part: string; readonly faults: readonly string[] }[] = [
  {
    part: 'sync_strength',
    faults: ['other speech', 'reversed sound', 'frozen mouth', 'untouched clip', 'lips of a still', 'silence'],
  },
  {
    part: 'loudness_distance',
    faults: ['sound −5 frames', 'sound +5 frames', 'frozen mouth', 'untouched clip', 'lips of a still'],
  },
  { part: 'lip_dynamics', faults: ['frozen mouth', 'lips of a still'] },
  { part: 'frozen_speech', faults: ['frozen mouth', 'lips of a still'] },
  { part: 'pause_opening', faults: ['silence'] },
  { part: 'silent_motion', faults: ['silence'] },
  { part: 'bilabial_closure', faults: ['frozen mouth', 'lips of a still'] },
  { part: 'lip_leak', faults: ['untouched clip'] },
];
