import { CrossCorrelator } from '../../audio/cross-correlation.ts';
import { analysisSampleRateHz } from '../../audio/speech-features.ts';
import { quantile, RowBuffer } from '../../audio/time-series.ts';
import { SampleWindow } from './sample-window.ts';
import { findRuns, type IndexRange } from '../labels.ts';

const windowSamples = analysisSampleRateHz;
/** Largest delay that is searched around the last one that was found. */
const searchSamples = analysisSampleRateHz;
const searchedSamples = windowSamples + 2 * searchSamples;
/** The delay hardly changes: it is searched here first, for a third of the time. */
const nearSamples = analysisSampleRateHz / 8;
const clearlySame = 0.8;
/** The next sizes above that the FFT supports. */
const fftSizes = { near: 20_000, whole: 51_200 } as const;
/** Largest delay that is followed. */
const maxDelaySamples = 5 * analysisSampleRateHz;
/** A window of the speech below this level, dBFS, is a pause. */
const quietDb = -50;
/** As in the level meter. */
const silentDb = -60;
/** Correlation from which two windows are the same sound. Foreign speech stays below 0.25. */
const sameSound = 0.4;
/** Changes of the delay up to this are jitter of the measurement. */
const steadySamples = 0.002 * analysisSampleRateHz;

const stepSamples = analysisSampleRateHz / 100;
/** A step of 10 ms lacks the speech when it is this far below it; only loud steps of the speech are compared. */
const missingDb = 25;
const loudRangeDb = 20;

export interface Agreement {
  /** Delay of the sound relative to the speech, ms; null when no window agrees. */
  readonly delayMs: number | null;
  /** Mean correlation of the windows with speech, 0 to 1; null when the speech is silent. */
  readonly correlation: number | null;
  /** Sum of the changes of the delay, ms per second: cut or repeated sound. Null with fewer than two windows. */
  readonly skipsMsPerSecond: number | null;
  /** Share of the loud speech that the sound lacks; null when the speech is silent or no window agrees. */
  readonly missingShare: number | null;
  /** Windows in which the speech is not a pause. */
  readonly windowCount: number;
  /** Those that do not agree, in milliseconds of the sound. */
  readonly foreignRanges: readonly IndexRange[];
  /** Missing speech, in milliseconds of the sound. */
  readonly missingRanges: readonly IndexRange[];
  /** Silence of the speech, and the time after its end, in milliseconds of the speech. */
  readonly silentRanges: readonly IndexRange[];
}

interface WindowMatch {
  readonly startMs: number;
  readonly delaySamples: number;
  readonly correlation: number;
}

/**
 * Compares the sound of a video with the speech it was made from, in windows of one second. Both are mono at 16 kHz and
 * read at the same pace. Keeps about 12 s of samples, and 8 bytes per 10 ms.
 */
export class SpeechAgreement {
  readonly #speech: AsyncIterator<Float32Array>;
  readonly #nearCorrelator = new CrossCorrelator(fftSizes.near);
  readonly #correlator = new CrossCorrelator(fftSizes.whole);
  readonly #sound = new SampleWindow();
  readonly #given = new SampleWindow();
  readonly #soundLevels = new LevelSteps();
  readonly #givenLevels = new LevelSteps();
  readonly #matches: WindowMatch[] = [];
  #position = 0;
  #center = 0;

  /** `speech` is read as the sound is pushed; the caller ends it. */
  constructor(speech: AsyncIterator<Float32Array>) {
    this.#speech = speech;
  }

  async push(samples: Float32Array): Promise<void> {
    this.#sound.append(samples);
    this.#soundLevels.push(samples);
    while (this.#sound.end >= this.#position + windowSamples) await this.#matchWindow();
  }

  async finish(): Promise<Agreement> {
    // The rest is matched when it is long enough to be compared.
    if (this.#sound.end - this.#position >= windowSamples / 2) await this.#matchWindow();
    const same = this.#matches.filter(({ correlation }) => correlation >= sameSound);
    const delays = Float32Array.from(same, ({ delaySamples }) => delaySamples);
    const delay = quantile(delays, 0.5);
    const missing = delay === undefined ? undefined : this.#findMissing(same);
    return {
      delayMs: delay === undefined ? null : (delay * 1000) / analysisSampleRateHz,
      correlation: this.#matches.length === 0 ? null : meanOf(this.#matches.map(({ correlation }) => correlation)),
      skipsMsPerSecond: delays.length < 2 ? null : skips(same),
      missingShare: missing?.share ?? null,
      windowCount: this.#matches.length,
      foreignRanges: this.#matches
        .filter(({ correlation }) => correlation < sameSound)
        .map(({ startMs }) => ({ start: startMs, end: startMs + windowMs })),
      missingRanges: missing?.ranges ?? [],
      silentRanges: this.#findSilences(),
    };
  }

  async #matchWindow(): Promise<void> {
    const start = this.#position;
    this.#position += windowSamples;
    const givenStart = start - this.#center - searchSamples;
    await this.#readSpeech(givenStart + searchedSamples);
    const window = this.#sound.read(start, windowSamples);
    const searched = this.#given.read(givenStart, searchedSamples);
    this.#sound.discardBefore(this.#position);
    this.#given.discardBefore(this.#position - maxDelaySamples - 2 * searchSamples);
    const expected = searched.subarray(searchSamples, searchSamples + windowSamples);
    if (levelOf(expected) < quietDb) return;
    const { position, correlation } = this.#locate(window, searched);
    const delaySamples = start - (givenStart + position);
    this.#matches.push({ startMs: toMs(start), delaySamples, correlation });
    if (correlation < sameSound) return;
    this.#center = Math.max(-maxDelaySamples, Math.min(maxDelaySamples, delaySamples));
  }

  #locate(window: Float32Array, searched: Float32Array): { readonly position: number; readonly correlation: number } {
    const start = searchSamples - nearSamples;
    const near = searched.subarray(start, searchSamples + windowSamples + nearSamples);
    const { position, correlation } = this.#nearCorrelator.locate(window, near);
    if (correlation >= clearlySame) return { position: start + position, correlation };
    return this.#correlator.locate(window, searched);
  }

  async #readSpeech(end: number): Promise<void> {
    while (this.#given.end < end) {
      const { value, done }: IteratorResult<Float32Array> = await this.#speech.next();
      if (done) return;
      this.#given.append(value);
      this.#givenLevels.push(value);
    }
  }

  #findSilences(): IndexRange[] {
    const given = this.#givenLevels.toArray();
    const silences = findRuns(given.length, (step) => (given[step] ?? 0) < silentDb).map(toStepMs);
    return [...silences, { start: given.length * 10, end: Infinity }];
  }

  /** Compares levels per 10 ms, at the delay of the nearest window before. */
  #findMissing(same: readonly WindowMatch[]): { readonly share: number; readonly ranges: readonly IndexRange[] } {
    const sound = this.#soundLevels.toArray();
    const given = this.#givenLevels.toArray();
    const loudDb = (quantile(given, 0.95) ?? quietDb) - loudRangeDb;
    let next = 0;
    let delaySteps = Math.round((same[0]?.delaySamples ?? 0) / stepSamples);
    const gains = new Float32Array(sound.length).fill(NaN);
    sound.forEach((level, step) => {
      while (next < same.length && (same[next]?.startMs ?? 0) <= step * 10) {
        delaySteps = Math.round((same[next]?.delaySamples ?? 0) / stepSamples);
        next += 1;
      }
      const givenLevel = given[step - delaySteps];
      if (givenLevel !== undefined && givenLevel > loudDb) gains[step] = level - givenLevel;
    });
    const compared = gains.filter((gain) => !Number.isNaN(gain));
    if (compared.length === 0) return { share: 0, ranges: [] };
    const threshold = (quantile(compared, 0.5) ?? 0) - missingDb;
    const isMissing = (step: number): boolean => (gains[step] ?? NaN) < threshold;
    const runs = findRuns(gains.length, isMissing, 10).map(toStepMs);
    return { share: compared.filter((gain) => gain < threshold).length / compared.length, ranges: runs };
  }
}

const windowMs = toMs(windowSamples);

function toStepMs({ start, end }: IndexRange): IndexRange {
  return { start: start * 10, end: end * 10 };
}

function toMs(samples: number): number {
  return (samples * 1000) / analysisSampleRateHz;
}

function skips(same: readonly WindowMatch[]): number {
  const first = same[0];
  const last = same.at(-1);
  if (!first || !last || last.startMs === first.startMs) return 0;
  let total = 0;
  same.slice(1).forEach(({ delaySamples }, index) => {
    const change = Math.abs(delaySamples - (same[index]?.delaySamples ?? delaySamples));
    if (change > steadySamples) total += change;
  });
  return toMs(total) / ((last.startMs - first.startMs) / 1000);
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function levelOf(samples: Float32Array): number {
  return 10 * Math.log10(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length + 1e-13);
}

/** Level per step of 10 ms, dBFS. */
class LevelSteps {
  readonly #levels = new RowBuffer(1);
  #sum = 0;
  #count = 0;

  push(samples: Float32Array): void {
    for (let i = 0; i < samples.length; i += 1) {
      this.#sum += (samples[i] ?? 0) ** 2;
      this.#count += 1;
      if (this.#count < stepSamples) continue;
      this.#levels.append(Float32Array.of(10 * Math.log10(this.#sum / stepSamples + 1e-13)));
      [this.#sum, this.#count] = [0, 0];
    }
  }

  toArray(): Float32Array {
    return this.#levels.toArray();
  }
}
