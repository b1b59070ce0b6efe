import type { Phoneme } from './espeak.ts';

/** Target mouth shapes, one value per step of 10 ms. */
export interface MouthTargets {
  readonly open: Float32Array;
  readonly wide: Float32Array;
  readonly closure: Float32Array;
}

interface Shape {
  readonly open: number;
  readonly wide: number;
  /** Dominance of the shape over neighboring sounds. */
  readonly weight: number;
}

const shapes = new Map<string, Shape>();
function define(names: string, open: number, wide: number, weight: number): void {
  for (const name of names) shapes.set(name, { open, wide, weight });
}
define('ɑa', 1, 0, 1);
define('æ', 0.82, 0.35, 1);
define('ɐʌ', 0.62, 0, 0.8);
define('ɒ', 0.72, -0.3, 1);
define('ɔ', 0.58, -0.6, 1);
define('o', 0.48, -0.75, 1);
define('ʊ', 0.3, -0.75, 0.9);
define('u', 0.26, -1, 1);
define('ɪ', 0.34, 0.55, 0.8);
define('i', 0.26, 1, 1);
define('e', 0.45, 0.65, 1);
define('ɛ', 0.56, 0.45, 1);
define('ə', 0.36, 0, 0.5);
define('ɜɚ', 0.42, -0.15, 0.9);
define('y', 0.26, -0.9, 1);
define('ø', 0.4, -0.7, 1);
define('œ', 0.52, -0.5, 1);
define('ɨɯ', 0.3, 0.3, 0.8);
define('pbm', 0, 0, 0.5);
define('fv', 0.08, 0.1, 1.3);
define('wʍɥ', 0.14, -0.95, 1.2);
define('ɹrɾʁʀ', 0.28, -0.3, 0.6);
define('lɫʎ', 0.28, 0.1, 0.4);
define('tdnɲ', 0.18, 0.15, 0.5);
define('szɕʑ', 0.12, 0.35, 0.9);
define('ʃʒ', 0.18, -0.55, 1);
define('θð', 0.18, 0.15, 0.6);
define('kɡgŋxɣçʝ', 0.25, 0.1, 0.3);
define('hɦʔ', 0.3, 0, 0.1);
define('j', 0.22, 0.7, 0.7);
const pause: Shape = { open: 0, wide: 0, weight: 0.6 };

const bilabials = /^[pbm]/u;
/** espeak-ng's event for an unvoiced stop is its burst; the closure before it is this long. */
const unvoicedHoldMs = 55;
const spreadSteps = 3;

export function isBilabial({ name }: Phoneme): boolean {
  return bilabials.test(name);
}

/** Start and end of the time in which the lips of a bilabial are together. */
export function closureTimes({ name, startMs, endMs }: Phoneme): { readonly startMs: number; readonly endMs: number } {
  if (name.startsWith('m')) return { startMs, endMs };
  if (name.startsWith('p')) return { startMs: startMs - unvoicedHoldMs, endMs: startMs + 10 };
  return { startMs: startMs - 5, endMs: startMs + Math.min(55, 0.75 * (endMs - startMs)) };
}

/**
 * Target shapes per step, blended by overlapping dominance functions (Cohen and Massaro, 1993). The closures of p, b
 * and m are separate, because neighboring sounds never open them.
 */
export function mouthTargets(phonemes: readonly Phoneme[], stepCount: number): MouthTargets {
  const weight = new Float64Array(stepCount);
  const open = new Float64Array(stepCount);
  const wide = new Float64Array(stepCount);
  const closure = new Float32Array(stepCount);
  for (const phoneme of phonemes) {
    eachPart(phoneme, stepCount, (step, shape) => {
      for (let i = -3 * spreadSteps; i <= 3 * spreadSteps; i++) {
        const at = step + i;
        if (at < 0 || at >= stepCount) continue;
        const dominance = shape.weight * Math.exp(-0.5 * (i / spreadSteps) ** 2);
        weight[at] = (weight[at] ?? 0) + dominance;
        open[at] = (open[at] ?? 0) + dominance * shape.open;
        wide[at] = (wide[at] ?? 0) + dominance * shape.wide;
      }
    });
    if (!isBilabial(phoneme)) continue;
    const { startMs, endMs } = closureTimes(phoneme);
    closure.fill(1, Math.max(0, Math.round(startMs / 10)), Math.max(0, Math.round(endMs / 10)));
  }
  const over = (values: Float64Array): Float32Array =>
    Float32Array.from(values, (value, step) => value / Math.max(weight[step] ?? 0, 1e-6));
  return { open: over(open), wide: over(wide), closure };
}

/** Calls `visit` with each step of a phoneme and its shape. The parts of a diphthong or affricate get equal time. */
function eachPart(phoneme: Phoneme, stepCount: number, visit: (step: number, shape: Shape) => void): void {
  const parts = Array.from(phoneme.name).flatMap((letter) => shapes.get(letter) ?? []);
  const first = Math.round(phoneme.startMs / 10);
  const end = Math.min(stepCount, Math.round(phoneme.endMs / 10));
  for (let step = first; step < end; step++) {
    const part = parts[Math.floor((parts.length * (step - first)) / (end - first))];
    visit(step, part ?? pause);
  }
}
