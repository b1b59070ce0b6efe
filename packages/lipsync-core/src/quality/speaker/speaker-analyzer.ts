import { measureMfcc, mfccCount, MfccStream } from '../../audio/mfcc.ts';
import { createFaceDetector, type FaceDetector } from '../../face/index.ts';
import {
  findRateObstacle,
  type Analyzer,
  type AnalyzerDefinition,
  type AnalyzerSetup,
  type AssessedFrame,
  type Findings,
} from '../analyzer.ts';
import { readVideoSound, type VideoSpeech } from '../lips/video-speech.ts';
import { boxOfPoints } from './mouth-crop.ts';
import { findOtherFaces, OtherFace } from './other-face.ts';
import { judgeWindows, toNullParts, type ScoredWindow } from './speaker-findings.ts';
import { SpeakerModel } from './speaker-model.ts';
import { mfccRowsPerFrame } from './speaker-network.ts';
import { speakerLabels, speakerParts } from './speaker-tables.ts';
import { chooseWindows, FaceWindow, speakerFramesPerSecond, windowFrames } from './speaker-windows.ts';

/** Who speaks, by LR-ASD. */
export const speakerAnalyzer: AnalyzerDefinition = {
  name: 'speaker',
  parts: Object.values(speakerParts),
  labels: Object.values(speakerLabels),
  async create(setup) {
    const { models, facts, resources } = setup;
    if (models.speakerPath === undefined) return unknown('ASD_MODEL_PATH is not set.');
    if (!facts.hasSound) return unknown('The video has no sound.');
    const tooSlow = findRateObstacle(setup.framesPerSecond);
    if (tooSlow !== null) return unknown(tooSlow);
    const model = await resources.get(speakerLoader(models.speakerPath));
    return new SpeakerAnalyzer(setup, model, await resources.get(createFaceDetector));
  },
};

function unknown(reason: string): Analyzer {
  return { finish: () => ({ parts: toNullParts(reason) }) };
}

const loaders = new Map<string, () => Promise<SpeakerModel>>();

/** The key of the model among the resources of a render process. */
function speakerLoader(path: string): () => Promise<SpeakerModel> {
  const load = loaders.get(path) ?? (() => SpeakerModel.load(path));
  loaders.set(path, load);
  return load;
}

/** The window whose frames are being added. */
interface OpenWindow {
  readonly start: number;
  readonly tracked: FaceWindow;
  readonly others: readonly OtherFace[];
}

class SpeakerAnalyzer implements Analyzer {
  readonly needsEveryFrame = true;
  readonly #setup: AnalyzerSetup;
  readonly #model: SpeakerModel;
  readonly #detector: FaceDetector;
  readonly #starts: number[];
  readonly #windowCount: number;
  readonly #rows: Promise<Float32Array>;
  readonly #scored: ScoredWindow[] = [];
  /** Next frame at 25 frames per second. */
  #next = 0;
  #open: OpenWindow | undefined;

  constructor(setup: AnalyzerSetup, model: SpeakerModel, detector: FaceDetector) {
    const { frameCount, framesPerSecond, input, signal } = setup;
    this.#setup = setup;
    this.#model = model;
    this.#detector = detector;
    const frames = Math.floor((frameCount / framesPerSecond) * speakerFramesPerSecond + 0.01);
    this.#starts = [...chooseWindows(frames, input.allWindows ?? false)];
    this.#windowCount = this.#starts.length;
    this.#rows = this.#windowCount === 0 ? Promise.resolve(new Float32Array(0)) : readMfcc(input.videoPath, signal);
    // Awaited with the first window; a failure before must not count as unhandled.
    this.#rows.catch(() => undefined);
  }

  async add(frame: AssessedFrame): Promise<void> {
    const { frameCount, framesPerSecond } = this.#setup;
    const shownIn = (index: number): number =>
      Math.min(frameCount - 1, Math.round((index * framesPerSecond) / speakerFramesPerSecond));
    for (; shownIn(this.#next) <= frame.index && this.#windowCount > 0; this.#next += 1) {
      await this.#addFrame(frame, this.#next);
      if (frame.index === frameCount - 1 && this.#starts.length === 0 && !this.#open) return;
    }
  }

  finish(speech: VideoSpeech): Findings {
    if (this.#windowCount === 0) return { parts: toNullParts('The video is shorter than two seconds.') };
    return { ...judgeWindows(this.#scored, speech), models: { 'lr-asd': this.#model.sha256 } };
  }

  async #addFrame(frame: AssessedFrame, index: number): Promise<void> {
    const { picture, points } = frame;
    if (this.#starts[0] === index) {
      this.#starts.shift();
      const places = findOtherFaces(frame.index, picture, this.#setup);
      const faces = places.map((place) => new OtherFace(this.#detector, place));
      this.#open = { start: index, tracked: new FaceWindow(), others: faces };
    }
    const open = this.#open;
    if (!open) return;
    const { color } = this.#setup.facts;
    const box = points && boxOfPoints(points);
    open.tracked.add(picture, color, this.#setup.faces.isMouthVisible(frame.index) ? box : undefined);
    for (const face of open.others) await face.add(picture, color, box);
    if (index < open.start + windowFrames - 1) return;
    this.#open = undefined;
    await this.#score(open);
  }

  async #score({ start, tracked, others }: OpenWindow): Promise<void> {
    const mfcc = cutRows(await this.#rows, start);
    const scoreOf = async (crops: Uint8Array | undefined) => crops && (await this.#model.score(crops, mfcc));
    const scores = await scoreOf(tracked.finish());
    const otherScores = [];
    for (const face of others) otherScores.push(await scoreOf(face.finish()));
    const found = otherScores.filter((score) => score !== undefined);
    this.#scored.push({ start, tracked: scores, others: found });
  }
}

async function readMfcc(path: string, signal: AbortSignal): Promise<Float32Array> {
  let rows = new Float32Array(mfccCount * 1_000);
  let length = 0;
  const stream = new MfccStream((row) => {
    if (length + row.length > rows.length) {
      const longer = new Float32Array(2 * rows.length);
      longer.set(rows);
      rows = longer;
    }
    rows.set(row, length);
    length += row.length;
  });
  for await (const chunk of readVideoSound(path, signal)) stream.push(chunk);
  stream.finish();
  return rows.subarray(0, length);
}

/** The rows of a window; the sound is silent after its end. */
function cutRows(rows: Float32Array, start: number): Float32Array {
  const length = windowFrames * mfccRowsPerFrame * mfccCount;
  const cut = new Float32Array(length);
  const found = rows.subarray(start * mfccRowsPerFrame * mfccCount).subarray(0, length);
  cut.set(found);
  const silent = measureMfcc(new Float32Array(1));
  for (let index = found.length; index < length; index += 1) cut[index] = silent[index % mfccCount] ?? 0;
  return cut;
}
