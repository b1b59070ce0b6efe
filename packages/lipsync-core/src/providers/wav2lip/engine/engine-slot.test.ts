import { describe, expect, it, vi, type Mock } from 'vitest';
import type { EngineAddress } from './engine-address.ts';
import type { EngineChild } from './engine-child.ts';
import { createEngineSlot, type EngineSlot } from './engine-slot.ts';

const address: EngineAddress = { socketPath: 'engine.sock', device: 'cpu', cropSizePx: 96, batchSize: 8 };
const never = new AbortController().signal;

/** A slot of engines that answer as `answers` says. */
function slotOf(answers: EngineChild['answers']): {
  readonly slot: EngineSlot;
  readonly start: Mock<() => Promise<EngineChild>>;
} {
  const start = vi.fn<() => Promise<EngineChild>>(async () => ({
    ready: Promise.resolve(address),
    answers,
    end: () => Promise.resolve(),
  }));
  return {
    slot: createEngineSlot({
      device: { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } },
      idleMs: 60_000,
      start,
    }),
    start,
  };
}

describe('a slot', () => {
  it('starts no engine for a lease that was canceled before it came', async () => {
    const { slot, start } = slotOf(async () => true);
    await expect(slot.lease(AbortSignal.abort())).rejects.toMatchObject({ code: 'canceled' });
    expect(start).not.toHaveBeenCalled();
    expect(slot).toMatchObject({ leases: 0, isWarm: false });
  });

  it('starts no engine in the place of a dead one for a lease that was canceled meanwhile', async () => {
    const controller = new AbortController();
    const { slot, start } = slotOf(async () => {
      controller.abort();
      return false;
    });
    await slot.lease(never);
    await expect(slot.lease(controller.signal)).rejects.toMatchObject({ code: 'canceled' });
    await vi.waitFor(() => expect(slot.isWarm).toBe(false));
    expect(start).toHaveBeenCalledTimes(1);
    expect(slot.leases).toBe(1);
  });

  it('starts another engine in the place of a dead one', async () => {
    const { slot, start } = slotOf(async () => false);
    await slot.lease(never);
    await expect(slot.lease(never)).resolves.toEqual(address);
    expect(start).toHaveBeenCalledTimes(2);
  });
});
