import fc from 'fast-check';
import { expect, it } from 'vitest';
import { silenceModes } from '../../../contract/index.ts';
import { mostDrawings, planFrame } from './frame-plan.ts';

it('draws every frame from the speech when silence is generated like the rest', () => {
  expect(planFrame('generate', 0)).toEqual({
    drawings: [{ sound: 'speech', reference: 'own', share: 1 }],
    strength: 1,
  });
});

it('asks the model for nothing in a pause whose mouth is kept', () => {
  expect(planFrame('keep', 0)).toEqual({ drawings: [], strength: 0 });
});

it('fades the drawn mouth in where a kept pause ends', () => {
  expect(planFrame('keep', 0.25).strength).toBe(0.25);
});

it('closes the mouth in a pause from silence and the most closed mouth', () => {
  expect(planFrame('close', 0).drawings).toEqual([{ sound: 'silence', reference: 'closed', share: 1 }]);
});

it('mixes both mouths at the border of a closed pause, in shares that add up to one', () => {
  const { drawings } = planFrame('close', 0.3);
  expect(drawings.map(({ share }) => share)).toEqual([0.3, 0.7]);
});

it('never needs more drawings than it says, and their shares are whole', () => {
  fc.assert(
    fc.property(fc.constantFrom(...silenceModes), fc.double({ min: 0, max: 1, noNaN: true }), (mode, voiced) => {
      const { drawings, strength } = planFrame(mode, voiced);
      expect(drawings.length).toBeLessThanOrEqual(mostDrawings);
      expect(strength === 0).toBe(drawings.length === 0);
      if (drawings.length > 0) expect(drawings.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    }),
  );
});
