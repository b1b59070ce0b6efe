import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMouthCurve } from './mouth-curve.ts';
import type { SpeechActivity } from './speech-activity.ts';
import { bandCount, quietestDb, type SpeechFeatures } from './speech-features.ts';
import type { MouthEstimate } from './mouth-model.ts';
import type { MouthCurve } from './mouth-curve-file.ts';

interface Inputs {
  readonly features: SpeechFeatures;
  readonly activity: SpeechActivity;
  readonly estimate: MouthEstimate;
}

/** Inputs of the curve; `step` returns the values of one analysis step. */
function inputsOf(
  stepCount: number,
  step: (index: number) => {
    readonly level: number;
    readonly active: 0 | 1;
    readonly open: number;
    readonly wide: number;
    readonly closure: number;
  },
): Inputs {
  const steps = Array.from({ length: stepCount }, (_, index) => step(index));
  return {
    features: {
      stepCount,
      levelDb: Float32Array.from(steps, ({ level }) => level),
      bandsDb: new Float32Array(stepCount * bandCount),
    },
    activity: {
      voiceFound: true,
      active: Uint8Array.from(steps, ({ active }) => active),
      speechLevelDb: -10,
      noiseLevelDb: -70,
    },
    estimate: {
      open: Float32Array.from(steps, ({ open }) => open),
      wide: Float32Array.from(steps, ({ wide }) => wide),
      closure: Float32Array.from(steps, ({ closure }) => closure),
    },
  };
}

function curveOf(
  { features, activity, estimate }: Inputs,
  frameCount: number,
  frameRate = { numerator: 25, denominator: 1 },
): MouthCurve {
  return createMouthCurve(features, activity, estimate, { frameRate, frameCount });
}

const vowel = { level: -10, active: 1, open: 0.8, wide: 0.4, closure: 0 } as const;
const pause = { level: -80, active: 0, open: 0.8, wide: 0.4, closure: 0 } as const;

describe('createMouthCurve', () => {
  it('The curve stays in range for any input and frame rate.', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const step = fc.record({
      level: fc.double({ min: -160, max: 3, noNaN: true }),
      active: fc.constantFrom<0 | 1>(0, 1),
      open: share,
      wide: fc.double({ min: -1, max: 1, noNaN: true }),
      closure: share,
    });
    const rates = fc.record({
      numerator: fc.constantFrom(24_000, 25_000, 30_000, 60_000, 240_000),
      denominator: fc.constantFrom(1000, 1001),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), rates, (steps, frameRate) => {
        const inputs = inputsOf(steps.length, (index) => steps[index] ?? pause);
        const { open, wide, closure, voiced } = curveOf(inputs, 50, frameRate);
        expect([...open, ...closure, ...voiced].every((value) => value >= 0 && value <= 1.00001)).toBe(true);
        expect(wide.every((value) => value >= -1 && value <= 1)).toBe(true);
      }),
    );
  });

  it('The mouth opens before the sound and is closed 100 ms before and after it.', () => {
    const inputs = inputsOf(200, (index) => (index >= 80 && index < 120 ? vowel : pause));
    const { open } = curveOf(inputs, 50);
    expect(open[19]).toBeGreaterThan(0);
    expect(open[25]).toBeGreaterThan(0.6);
    expect([...open.subarray(0, 17), ...open.subarray(33)].every((value) => value === 0)).toBe(true);
  });

  it('A bilabial shorter than a frame closes the mouth.', () => {
    const inputs = inputsOf(200, (index) =>
      index >= 98 && index < 102 ? { ...vowel, level: -22, closure: 0.95 } : vowel,
    );
    const { open, closure } = curveOf(inputs, 50);
    expect(Math.min(...open.subarray(23, 27))).toBeLessThanOrEqual(0.15);
    expect(Math.max(...closure.subarray(23, 27))).toBeGreaterThan(0.6);
  });

  it('A closure without a drop in level is ignored.', () => {
    const inputs = inputsOf(200, (index) => (index >= 95 && index < 105 ? { ...vowel, closure: 0.95 } : vowel));
    expect(Math.min(...curveOf(inputs, 50).open.subarray(20, 30))).toBeGreaterThan(0.6);
  });

  it('A closure is not held longer than a speaker holds it.', () => {
    const inputs = inputsOf(200, (index) =>
      index >= 70 && index < 98 ? { ...vowel, level: -20, closure: 0.9 } : vowel,
    );
    const closed = curveOf(inputs, 50).closure.filter((value) => value > 0.5);
    expect(closed.length).toBeLessThanOrEqual(5);
  });

  it('The mouth closes after the end of the speech as it does in digital silence.', () => {
    const speech = inputsOf(100, () => vowel);
    const followed = inputsOf(240, (index) =>
      index < 100 ? vowel : { level: quietestDb, active: 0, open: 0, wide: 0, closure: 0 },
    );
    const curve = curveOf(speech, 60);
    expect(curve).toEqual(curveOf(followed, 60));
    expect([...curve.voiced.subarray(24, 27)]).toEqual(
      [...curve.voiced.subarray(24, 27)].toSorted((one, other) => other - one),
    );
    expect(curve.voiced[25]).toBeGreaterThan(0);
    expect([...curve.open.subarray(27), ...curve.voiced.subarray(27)].every((value) => value === 0)).toBe(true);
  });

  it('The value of a frame does not depend on how many frames follow while speech continues.', () => {
    const inputs = inputsOf(200, (index) => (index % 50 < 35 ? vowel : pause));
    const whole = curveOf(inputs, 50);
    for (const frameCount of [1, 20, 49]) {
      const { open, wide, closure, voiced } = curveOf(inputs, frameCount);
      const start = (values: Float32Array): Float32Array => values.subarray(0, frameCount);
      expect({ open, wide, closure, voiced }).toEqual({
        open: start(whole.open),
        wide: start(whole.wide),
        closure: start(whole.closure),
        voiced: start(whole.voiced),
      });
    }
  });

  it('Without a voice, the mouth opens moderately and is neither spread nor closed.', () => {
    const inputs = inputsOf(100, () => ({ ...vowel, closure: 1 }));
    const { open, wide, closure } = curveOf({ ...inputs, activity: { ...inputs.activity, voiceFound: false } }, 25);
    expect(Math.max(...open)).toBeLessThanOrEqual(0.5);
    expect(open[12]).toBeGreaterThan(0.2);
    expect([...wide, ...closure].every((value) => value === 0)).toBe(true);
  });
});
