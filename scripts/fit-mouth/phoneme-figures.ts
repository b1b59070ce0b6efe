import type { MouthCurve } from '../../packages/lipsync-core/src/audio/index.ts';
import { closureTimes, isBilabial } from './mouth-targets.ts';
import type { Phoneme } from './espeak.ts';

/** How well a mouth curve matches sounds with known times. */
export interface PhonemeFigures {
  readonly bilabials: number;
  readonly bilabialsClosed: number;
  /** Consonants other than p, b and m. */
  readonly others: number;
  /** How many of them are wrongly shown as closed. */
  readonly othersClosed: number;
  /** Mean opening and width in the middle of each vowel, by vowel. */
  readonly vowels: ReadonlyMap<string, { readonly count: number; readonly open: number; readonly wide: number }>;
}

const closedOpening = 0.15;
const vowelClasses: ReadonlyMap<string, string> = new Map([
  ['ɑː', 'ah'],
  ['ɑ', 'ah'],
  ['a', 'ah'],
  ['aː', 'ah'],
  ['ɑːɹ', 'ah'],
  ['iː', 'ee'],
  ['i', 'ee'],
  ['uː', 'oo'],
  ['u', 'oo'],
  ['æ', 'a (cat)'],
  ['ɛ', 'e (bed)'],
  ['ɪ', 'i (bit)'],
  ['ʊ', 'u (book)'],
  ['ʌ', 'u (cup)'],
  ['ɔː', 'aw'],
  ['ɒ', 'o (lot, British)'],
  ['ə', 'schwa'],
  ['ɐ', 'schwa'],
  ['ɜː', 'er'],
  ['aɪ', 'eye'],
  ['aʊ', 'ow'],
  ['eɪ', 'ay'],
  ['oʊ', 'oh'],
  ['əʊ', 'oh'],
]);
const otherConsonants = /^[tdnkɡŋszʃʒθðlɹrj]/u;

export function phonemeFigures(
  curve: MouthCurve,
  phonemes: readonly Phoneme[],
  framesPerSecond: number,
): PhonemeFigures {
  const closedWithinOneFrame = (middleMs: number): boolean => {
    const frame = Math.floor((middleMs * framesPerSecond) / 1000);
    return curve.open.subarray(Math.max(0, frame - 1), frame + 2).some((open) => open <= closedOpening);
  };
  const middle = ({ startMs, endMs }: { startMs: number; endMs: number }): number => (startMs + endMs) / 2;
  const bilabials = phonemes.filter(isBilabial);
  const others = phonemes.filter(({ name }) => otherConsonants.test(name));
  return {
    bilabials: bilabials.length,
    bilabialsClosed: bilabials.filter((phoneme) => closedWithinOneFrame(middle(closureTimes(phoneme)))).length,
    others: others.length,
    othersClosed: others.filter((phoneme) => closedWithinOneFrame(middle(phoneme))).length,
    vowels: vowelFigures(curve, phonemes, framesPerSecond),
  };
}

function vowelFigures(
  curve: MouthCurve,
  phonemes: readonly Phoneme[],
  framesPerSecond: number,
): PhonemeFigures['vowels'] {
  const sums = new Map<string, { count: number; open: number; wide: number }>();
  for (const { name, startMs, endMs } of phonemes) {
    const vowel = vowelClasses.get(name);
    if (vowel === undefined) continue;
    const frame = Math.floor((((startMs + endMs) / 2) * framesPerSecond) / 1000);
    const sum = sums.get(vowel) ?? { count: 0, open: 0, wide: 0 };
    sums.set(vowel, {
      count: sum.count + 1,
      open: sum.open + (curve.open[frame] ?? 0),
      wide: sum.wide + (curve.wide[frame] ?? 0),
    });
  }
  return new Map(
    [...sums].map(([vowel, { count, open, wide }]) => [vowel, { count, open: open / count, wide: wide / count }]),
  );
}

/** Combines the figures of several recordings, with equal weight for each sound. */
export function joinFigures(all: readonly PhonemeFigures[]): PhonemeFigures {
  const vowels = new Map<string, { count: number; open: number; wide: number }>();
  for (const [vowel, { count, open, wide }] of all.flatMap((figures) => [...figures.vowels])) {
    const before = vowels.get(vowel) ?? { count: 0, open: 0, wide: 0 };
    const total = before.count + count;
    const mean = (a: number, b: number): number => (a * before.count + b * count) / total;
    vowels.set(vowel, { count: total, open: mean(before.open, open), wide: mean(before.wide, wide) });
  }
  const sum = (key: 'bilabials' | 'bilabialsClosed' | 'others' | 'othersClosed'): number =>
    all.reduce((total, figures) => total + figures[key], 0);
  return {
    bilabials: sum('bilabials'),
    bilabialsClosed: sum('bilabialsClosed'),
    others: sum('others'),
    othersClosed: sum('othersClosed'),
    vowels,
  };
}
