import fc from 'fast-check';
import { expect, it } from 'vitest';
import { silenceModes } from '../../../contract/index.ts';
import { maxInferencesPerFrame, planFrame } from './frame-plan.ts';

it('In generate mode, a pause is generated from the speech.', () => {
  expect(planFrame('generate', 0)).toEqual({
    inferences: [{ mel: 'speech', reference: 'own', weight: 1 }],
    strength: 1,
  });
});

it('In keep mode, a pause needs no inference.', () => {
  expect(planFrame('keep', 0)).toEqual({ inferences: [], strength: 0 });
});

it('In keep mode, the generated mouth fades in at the end of a pause.', () => {
  expect(planFrame('keep', 0.25).strength).toBe(0.25);
});

it('In close mode, a pause is generated from silence and the most closed mouth.', () => {
  expect(planFrame('close', 0).inferences).toEqual([{ mel: 'silence', reference: 'closed', weight: 1 }]);
});

it('In close mode, both mouths are mixed at the border of a pause with weights that add up to 1.', () => {
  const { inferences } = planFrame('close', 0.3);
  expect(inferences.map(({ weight }) => weight)).toEqual([0.3, 0.7]);
});

it('A plan has at most maxInferencesPerFrame inferences, with weights that add up to 1.', () => {
  fc.assert(
    fc.property(fc.constantFrom(...silenceModes), fc.double({ min: 0, max: 1, noNaN: true }), (mode, voiced) => {
      const { inferences, strength } = planFrame(mode, voiced);
      expect(inferences.length).toBeLessThanOrEqual(maxInferencesPerFrame);
      expect(strength === 0).toBe(inferences.length === 0);
      if (inferences.length > 0) expect(inferences.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1);
    }),
  );
});
