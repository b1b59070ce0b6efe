import { describe, expect, it } from 'vitest';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { createLastDevices } from './last-devices.ts';

describe('the device that an engine last used', () => {
  it('is that of whichever process noted one last', async () => {
    const memory = createMemoryState();
    const [one, other] = [createLastDevices({ state: memory.open() }), createLastDevices({ state: memory.open() })];
    expect(await one.look('wav2lip')).toBeNull();
    await one.note('wav2lip', 'cuda');
    await one.note('wav2lip', 'cpu');
    expect(await other.look('wav2lip')).toBe('cpu');
    await other.note('wav2lip', 'webgpu');
    await one.note('wav2lip', 'cpu');
    expect(await other.look('wav2lip')).toBe('cpu');
    expect(await other.look('preview')).toBeNull();
  });
});
