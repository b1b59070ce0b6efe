import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { countRenderSlots } from './render-slots.ts';

const gib = 2 ** 30;

it.each([
  [{ cores: 1, memoryBytes: 0.5 * gib }, 1],
  [{ cores: 2, memoryBytes: 4 * gib }, 1],
  [{ cores: 8, memoryBytes: 64 * gib }, 4],
  [{ cores: 64, memoryBytes: 8 * gib }, 6],
  [{ cores: 512, memoryBytes: 1_024 * gib }, 64],
])('A machine of %j runs %i renders at once.', (machine, slots) => {
  expect(countRenderSlots(machine)).toBe(slots);
});

it('The machine of this process has at least one slot, and no more than a slot for two cores.', () => {
  expect(countRenderSlots()).toBeGreaterThanOrEqual(1);
  expect(countRenderSlots()).toBeLessThanOrEqual(Math.max(1, availableParallelism() / 2));
});
