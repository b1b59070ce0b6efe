import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawMouthCurve } from './mouth-curve.ts';
import type { SpeechActivity } from './speech-activity.ts';
import { bandCount, quietestDb, type SpeechFeatures } from './speech-features.ts';
import type { MouthEstimate } from './mouth-model.ts';
import type { MouthCurve } from './speech-types.ts';

interface Heard {
  readonly features: SpeechFeatures;
  readonly activity: SpeechActivity;
  readonly estimate: MouthEstimate;
}

/** Steps as they could come, however unlikely together; `draw` gives the value of a step. */
function heard(
  stepCount: number,
  step: (index: number) => {
    readonly level: number;
    readonly active: 0 | 1;
    readonly open: number;
    readonly wide: number;
    readonly closure: number;
  },
): Heard {
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

function draw(
  { features, activity, estimate }: Heard,
  frameCount: number,
  frameRate = { numerator: 25, denominator: 1 },
): MouthCurve {
  return drawMouthCurve(features, activity, estimate, { frameRate, frameCount });
}

const vowel = { level: -10, active: 1, open: 0.8, wide: 0.4, closure: 0 } as const;
const pause = { level: -80, active: 0, open: 0.8, wide: 0.4, closure: 0 } as const;

describe('drawMouthCurve', () => {
  it('stays in range for whatever is heard, at any frame rate', () => {
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
        const sound = heard(steps.length, (index) => steps[index] ?? pause);
        const { open, wide, closure, voiced } = draw(sound, 50, frameRate);
        expect([...open, ...closure, ...voiced].every((value) => value >= 0 && value <= 1.00001)).toBe(true);
        expect(wide.every((value) => value >= -1 && value <= 1)).toBe(true);
      }),
    );
  });

  it('opens before the sound, and is closed by 100 ms before and after it', () => {
    const sound = heard(200, (index) => (index >= 80 && index < 120 ? vowel : pause));
    const { open } = draw(sound, 50);
    expect(open[19]).toBeGreaterThan(0);
    expect(open[25]).toBeGreaterThan(0.6);
    expect([...open.subarray(0, 17), ...open.subarray(33)].every((value) => value === 0)).toBe(true);
  });

  it('closes for a bilabial that is shorter than a frame', () => {
    const sound = heard(200, (index) => (index >= 98 && index < 102 ? { ...vowel, level: -22, closure: 0.95 } : vowel));
    const { open, closure } = draw(sound, 50);
    expect(Math.min(...open.subarray(23, 27))).toBeLessThanOrEqual(0.15);
    expect(Math.max(...closure.subarray(23, 27))).toBeGreaterThan(0.6);
  });

  it('does not believe in closed lips while the sound stays as loud as around it', () => {
    const sound = heard(200, (index) => (index >= 95 && index < 105 ? { ...vowel, closure: 0.95 } : vowel));
    expect(Math.min(...draw(sound, 50).open.subarray(20, 30))).toBeGreaterThan(0.6);
  });

  it('does not hold closed lips longer than a speaker does', () => {
    const sound = heard(200, (index) => (index >= 70 && index < 98 ? { ...vowel, level: -20, closure: 0.9 } : vowel));
    const closed = draw(sound, 50).closure.filter((value) => value > 0.5);
    expect(closed.length).toBeLessThanOrEqual(5);
  });

  it('closes the mouth beyond the end of the speech just as in a pause of no sound', () => {
    const spoken = heard(100, () => vowel);
    const followed = heard(240, (index) =>
      index < 100 ? vowel : { level: quietestDb, active: 0, open: 0, wide: 0, closure: 0 },
    );
    const curve = draw(spoken, 60);
    expect(curve).toEqual(draw(followed, 60));
    expect([...curve.voiced.subarray(24, 27)]).toEqual(
      [...curve.voiced.subarray(24, 27)].toSorted((one, other) => other - one),
    );
    expect(curve.voiced[25]).toBeGreaterThan(0);
    expect([...curve.open.subarray(27), ...curve.voiced.subarray(27)].every((value) => value === 0)).toBe(true);
  });

  it('draws a frame the same whatever is shown behind it, as long as speech is heard then', () => {
    const sound = heard(200, (index) => (index % 50 < 35 ? vowel : pause));
    const whole = draw(sound, 50);
    for (const frameCount of [1, 20, 49]) {
      const { open, wide, closure, voiced } = draw(sound, frameCount);
      const start = (values: Float32Array): Float32Array => values.subarray(0, frameCount);
      expect({ open, wide, closure, voiced }).toEqual({
        open: start(whole.open),
        wide: start(whole.wide),
        closure: start(whole.closure),
        voiced: start(whole.voiced),
      });
    }
  });

  it('moves moderately and without shapes where no voice was found', () => {
    const sound = heard(100, () => ({ ...vowel, closure: 1 }));
    const { open, wide, closure } = draw({ ...sound, activity: { ...sound.activity, voiceFound: false } }, 25);
    expect(Math.max(...open)).toBeLessThanOrEqual(0.5);
    expect(open[12]).toBeGreaterThan(0.2);
    expect([...wide, ...closure].every((value) => value === 0)).toBe(true);
  });
});
