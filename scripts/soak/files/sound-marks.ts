import { writeFile } from 'node:fs/promises';
import { ffmpeg, ffprobe } from './media-tools.ts';

/** A sound of short sweeps, each of its own pitch, and a reader that finds them in any file by its packet times. */

export const markCount = 12;
export const markSpacingS = 0.3;
const markLengthS = 0.1;
const sourceRateHz = 48_000;
/** Sweeps lie far below the half of this rate. */
const searchRateHz = 8_000;
const amplitude = 0.25;
/** A sweep that is present correlates with its pattern far better than this, also after lossy codecs. */
const leastCorrelation = 0.6;

/** Value of sweep `mark` at a time after its beginning. */
function sweepAt(mark: number, timeS: number): number {
  if (timeS < 0 || timeS >= markLengthS) return 0;
  const startHz = 400 + 120 * mark;
  const slope = (mark % 2 === 0 ? 300 : -300) / markLengthS;
  const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * timeS) / markLengthS);
  return amplitude * window * Math.sin(2 * Math.PI * (startHz * timeS + (slope * timeS ** 2) / 2));
}

/** Writes all sweeps as a mono WAV of 32-bit floats; sweep n begins at n × 0.3 s. */
export async function writeMarks(path: string): Promise<void> {
  const samples = new Float32Array(markCount * markSpacingS * sourceRateHz);
  for (let index = 0; index < samples.length; index += 1) {
    const timeS = index / sourceRateHz;
    const mark = Math.floor(timeS / markSpacingS + 1e-9);
    samples[index] = sweepAt(mark, timeS - mark * markSpacingS);
  }
  const raw = `${path}.f32`;
  await writeFile(raw, new Uint8Array(samples.buffer));
  await ffmpeg('-f', 'f32le', '-ar', String(sourceRateHz), '-ac', '1', '-i', raw, '-c:a', 'pcm_f32le', path);
}

/** A found sweep: its time in the file, and its level against the written one in decibels. */
export interface FoundMark {
  readonly mark: number;
  readonly timeS: number;
  readonly levelDb: number;
}

export interface HeardSound {
  readonly lengthS: number;
  readonly marks: readonly FoundMark[];
}

/** Finds the sweeps in the first channel of the first sound of a file, laid out by the times of its frames. */
export async function readMarks(path: string): Promise<HeardSound> {
  const samples = await layOutSound(path);
  const marks = Array.from({ length: markCount }, (_, mark) => findMark(samples, mark));
  return { lengthS: samples.length / searchRateHz, marks: marks.filter((found) => found !== undefined) };
}

/** Samples at the times of the container: a player plays silence in holes, and packets of a wrong length apart. */
async function layOutSound(path: string): Promise<Float32Array> {
  const [rateText = '', channelText = ''] = (
    await ffprobe('-select_streams', 'a:0', '-show_entries', 'stream=sample_rate,channels', path)
  ).split(',');
  const [rateHz, channels] = [Number(rateText), Number(channelText)];
  const { output, log } = await ffmpeg(
    '-copyts',
    '-i',
    path,
    '-map',
    '0:a:0',
    '-af',
    'ashowinfo,aformat=sample_fmts=flt',
    '-f',
    'f32le',
    '-c:a',
    'pcm_f32le',
    'pipe:1',
  );
  const frames = [...log.matchAll(/pts_time:(\S+).*?nb_samples:(\d+)/g)].map(([, time, count]) => ({
    timeS: Number(time),
    count: Number(count),
  }));
  const values = new Float32Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
  const last = frames.at(-1);
  const laidOut = new Float32Array(last === undefined ? 0 : Math.round(last.timeS * rateHz + last.count));
  let read = 0;
  for (const { timeS, count } of frames) {
    const start = Math.round(timeS * rateHz);
    for (let index = 0; index < count; index += 1) {
      const target = start + index;
      if (target >= 0 && target < laidOut.length) laidOut[target] = values[(read + index) * channels] ?? 0;
    }
    read += count;
  }
  return decimate(laidOut, rateHz);
}

/** Averages neighbors, whose number is whole for the rates of takes. */
function decimate(samples: Float32Array, rateHz: number): Float32Array {
  const factor = rateHz / searchRateHz;
  return Float32Array.from({ length: Math.floor(samples.length / factor) }, (_, index) => {
    const [start, end] = [Math.floor(index * factor), Math.floor((index + 1) * factor)];
    let sum = 0;
    for (let position = start; position < end; position += 1) sum += samples[position] ?? 0;
    return sum / (end - start);
  });
}

function findMark(samples: Float32Array, mark: number): FoundMark | undefined {
  const sweep = Float32Array.from({ length: markLengthS * sourceRateHz }, (_, index) =>
    sweepAt(mark, index / sourceRateHz),
  );
  const pattern = decimate(sweep, sourceRateHz);
  const patternEnergy = pattern.reduce((sum, value) => sum + value * value, 0);
  let best = { start: 0, correlation: 0, product: 0 };
  let energy = 0;
  for (let start = -pattern.length + 1; start + 1 < samples.length; start += 1) {
    const entering = samples[start + pattern.length - 1] ?? 0;
    const leaving = samples[start - 1] ?? 0;
    energy += entering * entering - leaving * leaving;
    if (energy < patternEnergy * 1e-5) continue;
    let product = 0;
    for (let index = Math.max(0, -start); index < pattern.length; index += 1)
      product += (samples[start + index] ?? 0) * (pattern[index] ?? 0);
    const correlation = product / Math.sqrt(energy * patternEnergy);
    if (Math.abs(correlation) > Math.abs(best.correlation)) best = { start, correlation, product };
  }
  if (Math.abs(best.correlation) < leastCorrelation) return undefined;
  return {
    mark,
    timeS: best.start / searchRateHz,
    levelDb: 20 * Math.log10(Math.abs(best.product) / patternEnergy),
  };
}

/** Where a sweep must be: its time in the output. */
export interface ExpectedMark {
  readonly mark: number;
  readonly timeS: number;
}

export interface SoundError {
  /** Largest difference of a found sweep from its expected time; negative when the sound is early. */
  readonly offsetMs: number;
  /** Median level against the source. */
  readonly levelDb: number;
  readonly missing: readonly number[];
  readonly surplus: readonly number[];
}

/** Compares the found sweeps with the expected ones. */
export function compareMarks(heard: HeardSound, expected: readonly ExpectedMark[]): SoundError {
  const foundOf = new Map(heard.marks.map((found) => [found.mark, found]));
  const offsets = expected.flatMap(({ mark, timeS }) => {
    const found = foundOf.get(mark);
    return found === undefined ? [] : [(found.timeS - timeS) * 1000];
  });
  const levels = heard.marks.map(({ levelDb }) => levelDb).toSorted((first, second) => first - second);
  const wanted = new Set(expected.map(({ mark }) => mark));
  return {
    offsetMs: offsets.reduce((largest, offset) => (Math.abs(offset) > Math.abs(largest) ? offset : largest), 0),
    levelDb: levels[levels.length >> 1] ?? -Infinity,
    missing: expected.filter(({ mark }) => !foundOf.has(mark)).map(({ mark }) => mark),
    surplus: heard.marks.filter(({ mark }) => !wanted.has(mark)).map(({ mark }) => mark),
  };
}
