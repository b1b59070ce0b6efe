import { expect, it } from 'vitest';
import { createMemoryState } from '../../testing/memory-state-store.ts';
import { noteLastDevice, readLastDevice } from './last-device.ts';

it('The last device of the engine is the one that any process noted last.', async () => {
  const memory = createMemoryState();
  const [one, other] = [memory.open(), memory.open()];
  expect(await readLastDevice(one)).toBeNull();
  await noteLastDevice(one, 'cuda');
  await noteLastDevice(one, 'cpu');
  expect(await readLastDevice(other)).toBe('cpu');
  await noteLastDevice(other, 'webgpu');
  expect(await readLastDevice(one)).toBe('webgpu');
  await noteLastDevice(one, 'cpu');
  expect(await readLastDevice(other)).toBe('cpu');
});
