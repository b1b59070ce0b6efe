import type { SoundMix } from '../media-types.ts';
import { viewSamples } from '../sample-decoder.ts';

const framesPerSecond = 50;
/** Sounding time that is compared, so that memory is bounded: twenty minutes. */
const maxFrames = 20 * 60 * framesPerSecond;
const initialFrames = 1_024;
/** Levels are stored as whole decibels above this one, in dBFS. */
const lowestDb = -100;
/** A frame in which every channel is below this level is a pause. */
const pauseDb = -70;
/** Channels whose loud parts are further below the loudest channel are silent. */
const silentBelowDb = 40;
/** How much the level of speech varies at least; more is not compared. */
const maxSpreadDb = 20;
/** Noise, hum and tones vary less than this share of the channel that varies most, if that one may be speech. */
const leastSpreadShare = 0.4;
const leastSpeechSpreadDb = 6;
/** Blocks further below the loud parts are pauses of the voice. */
const activeDb = 25;
/** Length of a block, longer than the echoes of a voice in other microphones. */
const blockFrames = 10;
/** A channel is one of the loudest of a block within this range. */
const nearLoudestDb = 6;
/** Share of the active blocks in which a channel with a voice of its own is one of the loudest. */
const leastNearShare = 0.02;
/** Correlation below which a channel is the inverse of the others. */
const inverseBelow = -0.2;
/** Larger samples are damage, unless they are as frequent as in files of integer scale. */
const largestSample = 16;
const integerScaleShare = 0.001;

/** Measures which channels of a recording carry voice, with bounded memory. */
export class ChannelMeter {
  readonly #channels: number;
  readonly #frameSamples: number;
  /** Levels of the sounding frames, one row of channels per frame. */
  #levels: Uint8Array;
  #frameCount = 0;
  /** Sums over the current frame, and the number of its samples so far. */
  readonly #sums: Float64Array;
  readonly #squares: Float64Array;
  #position = 0;
  /** Sums of products of channels, from every `#stride`-th sample. */
  readonly #products: Float64Array;
  readonly #stride: number;
  readonly #peaks: PeakMeter;
  #sampleCount = 0;

  constructor(channels: number, sampleRateHz: number) {
    this.#channels = channels;
    this.#frameSamples = Math.max(1, Math.round(sampleRateHz / framesPerSecond));
    this.#levels = new Uint8Array(initialFrames * channels);
    [this.#sums, this.#squares] = [new Float64Array(channels), new Float64Array(channels)];
    this.#peaks = new PeakMeter(channels);
    this.#products = new Float64Array(channels * channels);
    this.#stride = Math.max(3, Math.ceil((channels * (channels + 1)) / 16));
  }

  /** Adds interleaved 32-bit floats; whole samples of all channels. */
  push(chunk: Buffer): void {
    const samples = viewSamples(chunk);
    for (let start = 0; start + this.#channels <= samples.length; start += this.#channels)
      this.#addSample(samples, start);
  }

  /** How the channels are mixed. Pure. */
  finish(): SoundMix {
    const channels = Array.from({ length: this.#channels }, (_, channel) => channel);
    const audible = this.#listAudible(channels);
    const carriers = this.#listCarriers(audible);
    const signs = this.#alignSigns(carriers);
    const weights = channels.map((channel) => (signs.get(channel) ?? 0) / Math.max(1, carriers.length));
    const isInverse = [...signs.values()].some((sign) => sign < 0);
    const isMixed = this.#channels > 2 || (this.#channels === 2 && (isInverse || audible.length === 1));
    return { weights, isMixed, gain: this.#gain(isMixed ? carriers : channels) };
  }

  #addSample(samples: Float32Array, start: number): void {
    const channels = this.#channels;
    for (let channel = 0; channel < channels; channel += 1) {
      const sample = samples[start + channel] ?? 0;
      const size = Math.abs(sample);
      // False for values that are not numbers, too.
      if (size <= largestSample) {
        this.#sums[channel] = (this.#sums[channel] ?? 0) + sample;
        this.#squares[channel] = (this.#squares[channel] ?? 0) + sample * sample;
      }
      if (size > 1) this.#peaks.add(channel, size);
    }
    this.#sampleCount += 1;
    if (channels > 1 && this.#sampleCount % this.#stride === 0) this.#addProducts(samples, start);
    this.#position += 1;
    if (this.#position === this.#frameSamples) this.#endFrame();
  }

  #addProducts(samples: Float32Array, start: number): void {
    const channels = this.#channels;
    for (let row = 0; row < channels; row += 1) {
      const first = samples[start + row] ?? 0;
      if (first === 0 || !(Math.abs(first) <= largestSample)) continue;
      for (let column = row; column < channels; column += 1) {
        const second = samples[start + column] ?? 0;
        if (Math.abs(second) <= largestSample)
          this.#products[row * channels + column] = (this.#products[row * channels + column] ?? 0) + first * second;
      }
    }
  }

  #endFrame(): void {
    const count = this.#position;
    const channels = this.#channels;
    this.#position = 0;
    this.#peaks.endFrame();
    let loudest = lowestDb;
    if ((this.#frameCount + 1) * channels > this.#levels.length) {
      const larger = new Uint8Array(this.#levels.length * 2);
      larger.set(this.#levels);
      this.#levels = larger;
    }
    for (let channel = 0; channel < channels; channel += 1) {
      const mean = (this.#sums[channel] ?? 0) / count;
      // Without the offset of a microphone, which is not sound.
      const power = (this.#squares[channel] ?? 0) / count - mean * mean;
      const levelDb = Math.max(lowestDb, 10 * Math.log10(Math.max(power, 1e-12)));
      this.#levels[this.#frameCount * channels + channel] = Math.round(levelDb - lowestDb);
      loudest = Math.max(loudest, levelDb);
    }
    this.#sums.fill(0);
    this.#squares.fill(0);
    if (loudest >= pauseDb && this.#frameCount < maxFrames) this.#frameCount += 1;
  }

  #levelAt(frame: number, channel: number): number {
    return (this.#levels[frame * this.#channels + channel] ?? 0) + lowestDb;
  }

  /** Level that a share of the sounding frames of a channel does not exceed. */
  #quantileDb(channel: number, share: number): number {
    const counts = new Uint32Array(256);
    for (let frame = 0; frame < this.#frameCount; frame += 1) {
      const level = this.#levels[frame * this.#channels + channel] ?? 0;
      counts[level] = (counts[level] ?? 0) + 1;
    }
    let rest = share * this.#frameCount;
    const index = counts.findIndex((count) => (rest -= count) <= 0);
    return Math.max(0, index) + lowestDb;
  }

  #listAudible(channels: readonly number[]): readonly number[] {
    if (this.#frameCount === 0) return channels;
    const loud = channels.map((channel) => this.#quantileDb(channel, 0.95));
    const limit = Math.max(pauseDb, Math.max(...loud) - silentBelowDb);
    const audible = channels.filter((channel) => (loud[channel] ?? lowestDb) >= limit);
    return audible.length === 0 ? channels : audible;
  }

  /** Channels that vary as speech does and are at times among the loudest. */
  #listCarriers(audible: readonly number[]): readonly number[] {
    if (audible.length === 1 || this.#frameCount === 0) return audible;
    const spread = audible.map((channel) =>
      Math.min(maxSpreadDb, this.#quantileDb(channel, 0.95) - this.#quantileDb(channel, 0.25)),
    );
    const largest = Math.max(...spread);
    const leastSpread = largest < leastSpeechSpreadDb ? 0 : leastSpreadShare * largest;
    const voices = audible.filter((_, index) => (spread[index] ?? 0) >= leastSpread);
    const near = this.#countNear(voices);
    return voices.filter((_, index) => (near.counts[index] ?? 0) >= leastNearShare * near.active);
  }

  /** In how many active blocks each of the channels is one of the loudest. */
  #countNear(voices: readonly number[]): { readonly counts: Uint32Array; readonly active: number } {
    const limitDb = Math.max(...voices.map((channel) => this.#quantileDb(channel, 0.95))) - activeDb;
    const counts = new Uint32Array(voices.length);
    let active = 0;
    for (let start = 0; start < this.#frameCount; start += blockFrames) {
      const end = Math.min(this.#frameCount, start + blockFrames);
      const levels = voices.map((channel) => this.#blockDb(channel, start, end));
      const loudest = Math.max(...levels);
      if (loudest < limitDb) continue;
      active += 1;
      levels.forEach((levelDb, index) => {
        if (levelDb >= loudest - nearLoudestDb) counts[index] = (counts[index] ?? 0) + 1;
      });
    }
    return { counts, active };
  }

  #blockDb(channel: number, start: number, end: number): number {
    let power = 0;
    for (let frame = start; frame < end; frame += 1) power += 10 ** (this.#levelAt(frame, channel) / 10);
    return 10 * Math.log10(power / (end - start));
  }

  /** The sign with which each channel adds to the earlier ones rather than canceling them. */
  #alignSigns(carriers: readonly number[]): ReadonlyMap<number, number> {
    const signs = new Map<number, number>();
    for (const channel of carriers) {
      let [common, power] = [0, 0];
      for (const [other, sign] of signs) {
        common += sign * this.#productOf(channel, other);
        for (const [third, thirdSign] of signs) power += sign * thirdSign * this.#productOf(other, third);
      }
      const correlation = common / Math.sqrt(power * this.#productOf(channel, channel));
      signs.set(channel, correlation < inverseBelow ? -1 : 1);
    }
    return signs;
  }

  #productOf(first: number, second: number): number {
    return this.#products[Math.min(first, second) * this.#channels + Math.max(first, second)] ?? 0;
  }

  /** Factor by which the channels are lowered so that none exceeds full scale. */
  #gain(channels: readonly number[]): number {
    const peaks = this.#peaks.finish(this.#sampleCount);
    return 1 / Math.max(1, ...channels.map((channel) => peaks[channel] ?? 0));
  }
}

/** Measures peaks above full scale. Damaged samples and what a resampler makes of them are left out. */
class PeakMeter {
  readonly #channels: number;
  readonly #peaks: Float64Array;
  readonly #allPeaks: Float64Array;
  /** Peaks of the current frame, and of the one before, which count once the next one is sound. */
  #current: Float64Array;
  #pending: Float64Array;
  #isDamaged = false;
  #wasDamaged = false;
  #largeCount = 0;

  constructor(channels: number) {
    this.#channels = channels;
    this.#peaks = new Float64Array(channels);
    this.#allPeaks = new Float64Array(channels);
    this.#current = new Float64Array(channels);
    this.#pending = new Float64Array(channels);
  }

  /** Adds the size of a sample; infinite ones are ignored. */
  add(channel: number, size: number): void {
    if (size === Infinity) return;
    raise(this.#allPeaks, channel, size);
    raise(this.#current, channel, size);
    if (size <= largestSample) return;
    this.#largeCount += 1;
    this.#isDamaged = true;
  }

  endFrame(): void {
    if (this.#isDamaged) this.#pending.fill(0);
    this.#pending.forEach((size, channel) => raise(this.#peaks, channel, size));
    if (this.#isDamaged || this.#wasDamaged) this.#current.fill(0);
    [this.#pending, this.#current] = [this.#current, this.#pending.fill(0)];
    [this.#wasDamaged, this.#isDamaged] = [this.#isDamaged, false];
  }

  /** Largest size per channel among `sampleCount` samples of each. */
  finish(sampleCount: number): Float64Array {
    if (this.#largeCount > integerScaleShare * sampleCount * this.#channels) return this.#allPeaks;
    this.endFrame();
    this.endFrame();
    return this.#peaks;
  }
}

function raise(peaks: Float64Array, channel: number, size: number): void {
  if (size > (peaks[channel] ?? 0)) peaks[channel] = size;
}
