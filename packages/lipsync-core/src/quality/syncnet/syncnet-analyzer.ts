import type { QualityPart } from '../../contract/quality.ts';
import { abortError, toLipsyncError } from '../../errors/index.ts';
import { resolveModel } from '../../inference/models/resolve-model.ts';
import { framesPerSecond, type ClipFacts } from '../../media/index.ts';
import {
  findRateObstacle,
  toPart,
  type Analyzer,
  type AnalyzerDefinition,
  type AnalyzerSetup,
  type AssessedFrame,
  type Findings,
  type PartDefinition,
} from '../analyzer.ts';
import { describeHiddenMouth, findSoundObstacle } from '../lips/lip-sync.ts';
import type { VideoSpeech } from '../lips/video-speech.ts';
import { allStretches, chooseStretches, syncFramesPerSecond, type Stretch } from './choose-stretches.ts';
import { CodecSpreadMeter, type CodecSpread } from './codec-spread.ts';
import { boxOfLandmarks, BoxSeries, cutTracks } from './face-boxes.ts';
import { measureSync, type SyncDistances } from './measure-sync.ts';
import { syncNetKind } from './network-kind.ts';
import {
  confidencePerRow,
  maxShiftFrames,
  meanCurve,
  scoreCurve,
  shiftCount,
  type SyncScores,
} from './sync-distances.ts';
import { resampleIntervals } from './sync-interval.ts';
import { toSyncScore } from './sync-score.ts';
import { SyncNetModel } from './syncnet-model.ts';
import { syncNetParts } from './syncnet-tables.ts';
import { VideoSound } from './video-sound.ts';

/** Smallest mean side of a face box, as in the reference pipeline. */
const smallestFacePx = 100;
/** Tracks with fewer boxes are not scored; the reference requires 100, LatentSync's copy of it 50. */
const shortestTrackFrames = 50;
/** Source clips whose scores a process keeps. */
const keptSources = 32;

/** Lips and sound by SyncNet. Without its model every part is null. */
export const syncNetAnalyzer: AnalyzerDefinition = {
  name: 'syncnet',
  parts: Object.values(syncNetParts),
  labels: [],
  create: (setup) => new SyncNetAnalyzer(setup),
};

class SyncNetAnalyzer implements Analyzer {
  readonly needsEveryFrame: boolean;
  readonly #setup: AnalyzerSetup;
  readonly #boxes: BoxSeries;
  readonly #sourceBoxes: BoxSeries | undefined;

  constructor(setup: AnalyzerSetup) {
    this.#setup = setup;
    this.needsEveryFrame = setup.models.syncnetPath !== undefined;
    this.#boxes = new BoxSeries(setup.frameCount, setup.framesPerSecond);
    const clip = setup.input.source?.clip;
    this.#sourceBoxes = clip && new BoxSeries(clip.frameCount, framesPerSecond(clip.frameRate));
  }

  add({ index, points, source }: AssessedFrame): void {
    if (!this.needsEveryFrame || !this.#setup.faces.isMouthVisible(index)) return;
    if (points) this.#boxes.set(index, boxOfLandmarks(points));
    if (source?.points) this.#sourceBoxes?.set(source.clipFrame, boxOfLandmarks(source.points));
  }

  async finish(speech: VideoSpeech): Promise<Findings> {
    const { syncnetPath, cacheFolder } = this.#setup.models;
    if (!syncnetPath || cacheFolder === undefined) return unmeasured('SYNCNET_MODEL_PATH is not set.');
    const obstacle = findSoundObstacle(speech) ?? findRateObstacle(this.#setup.framesPerSecond);
    if (obstacle !== null) return unmeasured(obstacle);
    const { signal, input, facts, faces } = this.#setup;
    const video = { path: input.videoPath, facts, sound: await VideoSound.read(input.videoPath, signal) };
    const stretches = findStretches(video, this.#boxes, input.allWindows ?? false) ?? describeHiddenMouth(faces.track);
    if (typeof stretches === 'string') return unmeasured(stretches);
    const path = await resolveModel({ kind: syncNetKind, path: syncnetPath, cacheFolder, signal });
    const model = await SyncNetModel.load(path, signal);
    const [first, ...others] = stretches;
    const meter =
      first && !facts.hdr
        ? new CodecSpreadMeter(video, [first, ...others], { model, signal, workFolder: input.workFolder })
        : undefined;
    try {
      const measured = await measureSync(video, stretches, { model, signal });
      const spread = await this.#measureSpread(meter, measured);
      return describe(measured, { spread, source: await this.#measureSource(model), model });
    } finally {
      await meter?.close();
      await model.release();
    }
  }

  /** The spread of encodings, or why it was not measured: it never costs the other figures. */
  async #measureSpread(meter: CodecSpreadMeter | undefined, measured: SyncDistances): Promise<CodecSpread | string> {
    const { signal } = this.#setup;
    if (!meter) return 'The video is HDR, which is not encoded again.';
    try {
      return await meter.measure(measured);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      return `The video could not be encoded again. ${toLipsyncError(error).message}`;
    }
  }

  /** Scores of the source clip with its own sound; undefined without one. */
  async #measureSource(model: SyncNetModel): Promise<SyncScores | undefined> {
    const { input, resources, signal } = this.#setup;
    const { source } = input;
    if (!source || !this.#sourceBoxes || !source.clip.hasSound || source.clip.kind === 'still') return undefined;
    const { clipPath, clipDigest, clip, timeline } = source;
    const kept = await resources.get(createKeptScores);
    const key = [clipDigest, model.sha256, timeline.windowStart, timeline.windowLength].join(' ');
    const known = kept.get(key);
    if (known) return known;
    const video = { path: clipPath, facts: clip, sound: await VideoSound.read(clipPath, signal) };
    const stretches = findStretches(video, this.#sourceBoxes, false);
    if (stretches === undefined || typeof stretches === 'string') return undefined;
    const { distances } = await measureSync(video, stretches, { model, signal });
    const scores = scoreCurve(meanCurve(distances));
    for (const oldest of [...kept.keys()].slice(0, Math.max(0, kept.size - keptSources + 1))) kept.delete(oldest);
    kept.set(key, scores);
    return scores;
  }
}

function createKeptScores(): Promise<Map<string, SyncScores>> {
  return Promise.resolve(new Map());
}

/** The stretches to score, or why there are none; undefined when no mouth is visible. */
function findStretches(
  { facts, sound }: { readonly facts: ClipFacts; readonly sound: VideoSound },
  boxes: BoxSeries,
  allWindows: boolean,
): readonly Stretch[] | string | undefined {
  const frameCount = Math.round((facts.durationMs * syncFramesPerSecond) / 1000);
  const tracks = cutTracks(boxes, { frameCount, framesPerSecond: syncFramesPerSecond });
  if (tracks.length === 0) return undefined;
  const long = tracks.filter((track) => track.boxes.length >= shortestTrackFrames);
  if (long.length === 0) return 'No mouth is visible for two seconds without interruption.';
  const large = long.filter(({ boxes: all }) => meanSidePx(all) >= smallestFacePx);
  if (large.length === 0) return `The face is smaller than ${smallestFacePx} pixels.`;
  const options = { soundFrames: sound.frameCount, loudnessAt: (frame: number) => sound.loudnessAt(frame) };
  const stretches = allWindows ? allStretches(large, options) : chooseStretches(large, options);
  return stretches.length === 0 ? 'The sound ends before two seconds of a face.' : stretches;
}

function meanSidePx(boxes: readonly { readonly halfSide: number }[]): number {
  return (2 * boxes.reduce((sum, { halfSide }) => sum + halfSide, 0)) / boxes.length;
}

function unmeasured(reason: string): Findings {
  return { parts: toParts([], reason) };
}

type Values = readonly (readonly [definition: PartDefinition, value: number | null])[];

/** Every part of the table; those without a value are null with the reason. */
function toParts(values: Values, reason: string): Record<string, QualityPart> {
  const known = new Map(values.map(([{ name }, value]) => [name, value]));
  return Object.fromEntries(
    Object.values(syncNetParts).map((definition) => {
      const value = known.get(definition.name) ?? null;
      return [definition.name, toPart(definition, value === null ? null : rounded(value), reason)];
    }),
  );
}

interface Context {
  /** Or why there is none. */
  readonly spread: CodecSpread | string;
  readonly source: SyncScores | undefined;
  readonly model: SyncNetModel;
}

function describe(measured: SyncDistances, { spread, source, model }: Context): Findings {
  const scores = scoreCurve(meanCurve(measured.distances));
  const interval = resampleIntervals(measured);
  const frameMs = 1000 / syncFramesPerSecond;
  // Offsets are whole frames.
  const [low, high] = [(interval.offsetFrames[0] - 0.5) * frameMs, (interval.offsetFrames[1] + 0.5) * frameMs];
  const values: Values = [
    [syncNetParts.lseD, scores.lseD],
    [syncNetParts.lseC, scores.lseC],
    [syncNetParts.offset, scores.offsetFrames],
    [syncNetParts.scoreLow, interval.score[0]],
    [syncNetParts.scoreHigh, interval.score[1]],
    [syncNetParts.codecSpreadC, typeof spread === 'string' ? null : spread.lseC],
    [syncNetParts.codecSpreadD, typeof spread === 'string' ? null : spread.lseD],
  ];
  return {
    parts: toParts(values, typeof spread === 'string' ? spread : ''),
    source: {
      [syncNetParts.lseD.name]: source ? rounded(source.lseD) : null,
      [syncNetParts.lseC.name]: source ? rounded(source.lseC) : null,
      [syncNetParts.offset.name]: source ? source.offsetFrames : null,
    },
    syncScore: rounded(toSyncScore(scores.curve)),
    sync: {
      method: 'syncnet',
      offsetMs: scores.offsetFrames * frameMs,
      offsetIntervalMs: [low, high],
      lseC: rounded(scores.lseC),
      lseD: rounded(scores.lseD),
      windows: measured.frames.length,
      reason: null,
    },
    models: { syncnet: model.sha256 },
    trace: { distanceCurve: curvePoints(scores.curve), syncConfidence: confidenceOf(measured, scores) },
  };
}

function curvePoints(curve: Float64Array): { lagFrames: number; distance: number }[] {
  return Array.from(curve, (distance, shift) => ({
    lagFrames: maxShiftFrames - shift,
    distance: rounded(distance),
  })).toReversed();
}

/** One value per frame at 25 fps up to the last scored one. Consecutive frames are filtered as a clip of their own. */
function confidenceOf({ distances, frames }: SyncDistances, scores: SyncScores): (number | null)[] {
  const series: (number | null)[] = Array.from({ length: (frames.at(-1) ?? -1) + 1 }, () => null);
  for (let first = 0; first < frames.length;) {
    let end = first + 1;
    while (end < frames.length && frames[end] === (frames[end - 1] ?? 0) + 1) end += 1;
    const confidence = confidencePerRow(distances.subarray(first * shiftCount, end * shiftCount), scores);
    confidence.forEach((value, index) => (series[(frames[first] ?? 0) + index] = rounded(value)));
    first = end;
  }
  return series;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
