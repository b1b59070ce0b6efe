import type { QualityLabel, QualityPart } from '../../contract/quality.ts';
import type { LabelDefinition } from '../analyzer.ts';
import { toLabel, type IndexRange } from '../labels.ts';
import { subtractRanges, type SoundMeasures } from './sound-measures.ts';
import { soundLabels, soundParts } from './sound-tables.ts';

/** Shortest silence that is counted, ms. */
const minSilenceMs = 1_000;
/** Ranges closer than this are joined; more often when there would be too many. */
const joinMs = 500;
const maxRanges = 50;

/** Silences of at least a second, in ms of the sound, in which the given speech is not silent. */
export function findSilences({ levels, blockMs, agreement }: SoundMeasures): IndexRange[] {
  const silences = levels.silences.map((range) => scaled(range, blockMs));
  const delayMs = agreement?.delayMs ?? 0;
  const expected = (agreement?.silentRanges ?? []).map(({ start, end }) => ({
    start: start + delayMs,
    end: end + delayMs,
  }));
  return subtractRanges(silences, expected).filter((range) => lengthOf(range) >= minSilenceMs);
}

/** A possible defect; a value of null was not measured. */
interface Candidate {
  readonly definition: LabelDefinition;
  readonly value: number | null;
  /** In ms of the sound; the whole sound by default. */
  readonly ranges?: readonly IndexRange[];
  readonly message: string;
}

/** Names the defects of a sound. Ranges are on the time axis of the picture. */
export function labelSound(sound: SoundMeasures, parts: Readonly<Record<string, QualityPart>>): QualityLabel[] {
  const whole = [{ start: 0, end: sound.levels.blockCount * sound.blockMs }];
  const isLow = (candidate: Candidate): boolean => (candidate.value ?? Infinity) < candidate.definition.threshold;
  const isHigh = (candidate: Candidate): boolean => (candidate.value ?? -Infinity) > candidate.definition.threshold;
  const found = [
    ...lowCandidates(parts).filter(isLow),
    ...highCandidates(parts, sound).filter(isHigh),
    ...foreignCandidates(parts, sound),
  ];
  return found.map(({ definition, value, ranges = whole, message }) => {
    const times = joinRanges(ranges, joinMs).map(({ start, end }) => ({
      startMs: Math.max(0, Math.round(start + sound.delayMs)),
      endMs: Math.max(0, Math.round(end + sound.delayMs)),
    }));
    return toLabel(definition, { message, ranges: times, value: value ?? 0 });
  });
}

type Parts = Readonly<Record<string, QualityPart>>;

function valueOf(parts: Parts, { name }: { readonly name: string }): number | null {
  return parts[name]?.value ?? null;
}

function lowCandidates(parts: Parts): Candidate[] {
  const noise = valueOf(parts, soundParts.noise);
  const loudness = valueOf(parts, soundParts.loudness);
  const bandwidth = valueOf(parts, soundParts.bandwidth);
  const mono = valueOf(parts, soundParts.mono);
  return [
    { definition: soundLabels.noisy, value: noise, message: `The speech is only ${noise} dB above the background.` },
    { definition: soundLabels.quiet, value: loudness, message: `The loudness is only ${loudness} LUFS.` },
    {
      definition: soundLabels.cancel,
      value: mono,
      message: `The channels cancel each other: on one loudspeaker the sound is ${Math.abs(mono ?? 0)} dB weaker.`,
    },
    {
      definition: soundLabels.bandLimited,
      value: bandwidth,
      message: `The sound has no frequencies above ${bandwidth} Hz.`,
    },
  ];
}

function highCandidates(parts: Parts, sound: SoundMeasures): Candidate[] {
  const { levels, clipping, agreement, stepMs, blockMs } = sound;
  const clipped = valueOf(parts, soundParts.clipping);
  const loudness = valueOf(parts, soundParts.loudness);
  const delay = valueOf(parts, soundParts.delay) ?? 0;
  const skips = valueOf(parts, soundParts.skips);
  const gaps = levels.gaps.map((range) => scaled(range, stepMs));
  const silences = findSilences(sound);
  const missing = agreement?.missingRanges ?? [];
  return [
    {
      definition: soundLabels.clipped,
      value: clipped,
      ranges: clipping.ranges.map((range) => scaled(range, blockMs)),
      message: `${((clipped ?? 0) * 100).toPrecision(2)} % of the samples are clipped.`,
    },
    { definition: soundLabels.loud, value: loudness, message: `The loudness is ${loudness} LUFS.` },
    {
      definition: soundLabels.silent,
      value: longest(silences),
      ranges: silences,
      message: `The sound is silent for ${(longest(silences) / 1000).toFixed(1)} s.`,
    },
    {
      definition: soundLabels.gap,
      value: Math.round(gaps.reduce((sum, range) => sum + lengthOf(range), 0)),
      ranges: gaps,
      message: `The sound has ${gaps.length === 1 ? 'an abrupt hole' : `${gaps.length} abrupt holes`}.`,
    },
    {
      definition: soundLabels.shifted,
      value: Math.abs(delay),
      message: `The sound is ${Math.abs(delay)} ms ${delay > 0 ? 'later' : 'earlier'} than the given speech.`,
    },
    {
      definition: soundLabels.skips,
      value: skips,
      message: 'Sound was cut out, repeated or stretched: its delay relative to the given speech changes.',
    },
    {
      definition: soundLabels.missing,
      value: longest(missing),
      ranges: missing,
      message: 'Parts of the given speech are missing in the sound.',
    },
  ];
}

/** One window alone may fail to agree by chance, in a video of many. */
function foreignCandidates(parts: Parts, { agreement }: SoundMeasures): Candidate[] {
  if (!agreement || agreement.windowCount === 0) return [];
  const { foreignRanges, windowCount } = agreement;
  if (foreignRanges.length < Math.min(2, windowCount / 2)) return [];
  const correlation = valueOf(parts, soundParts.correlation);
  return [
    {
      definition: soundLabels.differs,
      value: correlation,
      ranges: foreignRanges,
      message: 'The sound is not the given speech.',
    },
  ];
}

function scaled({ start, end }: IndexRange, unitMs: number): IndexRange {
  return { start: start * unitMs, end: end * unitMs };
}

function lengthOf({ start, end }: IndexRange): number {
  return end - start;
}

function longest(ranges: readonly IndexRange[]): number {
  return ranges.reduce((length, range) => Math.max(length, lengthOf(range)), 0);
}

/** Joins ascending ranges over gaps of at most `gapMs`, and over longer ones until few are left. */
function joinRanges(ranges: readonly IndexRange[], gapMs: number): IndexRange[] {
  const joined: { start: number; end: number }[] = [];
  for (const { start, end } of ranges) {
    const last = joined.at(-1);
    if (last && start - last.end <= gapMs) last.end = Math.max(last.end, end);
    else joined.push({ start, end });
  }
  return joined.length <= maxRanges ? joined : joinRanges(joined, 2 * gapMs);
}
