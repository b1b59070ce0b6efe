import { expect, it, vi, type Mock } from 'vitest';
import type { EngineAddress } from './engine-address.ts';
import type { EngineChild } from './engine-child.ts';
import { EngineSlot } from './engine-slots.ts';

const address: EngineAddress = { socketPath: 'engine.sock', device: 'cpu', cropSizePx: 96, batchSize: 8 };
const never = new AbortController().signal;

type FakeChild = Pick<EngineChild, 'ready' | 'responds' | 'end'>;

/** A slot whose engines respond to pings as `responds` does. */
function slotOf(responds: EngineChild['responds']): {
  readonly slot: EngineSlot;
  readonly start: Mock<() => Promise<FakeChild>>;
} {
  const start = vi.fn<() => Promise<FakeChild>>(async () => ({
    ready: Promise.resolve(address),
    responds,
    end: () => Promise.resolve(),
  }));
  return {
    slot: new EngineSlot({
      device: { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } },
      idleMs: 60_000,
      start,
    }),
    start,
  };
}

it('An engine slot starts no engine for a lease that is already canceled.', async () => {
  const { slot, start } = slotOf(async () => true);
  await expect(slot.lease(AbortSignal.abort())).rejects.toMatchObject({ code: 'canceled' });
  expect(start).not.toHaveBeenCalled();
  expect(slot).toMatchObject({ leases: 0, isWarm: false });
});

it('An engine slot does not replace a dead engine when the lease is canceled during the ping.', async () => {
  const controller = new AbortController();
  const { slot, start } = slotOf(async () => {
    controller.abort();
    return false;
  });
  await slot.lease(never);
  await expect(slot.lease(controller.signal)).rejects.toMatchObject({ code: 'canceled' });
  await vi.waitFor(() => expect(slot.isWarm).toBe(false), { timeout: 10_000 });
  expect(start).toHaveBeenCalledTimes(1);
  expect(slot.leases).toBe(1);
});

it('An engine slot replaces a dead engine at the next lease.', async () => {
  const { slot, start } = slotOf(async () => false);
  await slot.lease(never);
  await expect(slot.lease(never)).resolves.toEqual(address);
  expect(start).toHaveBeenCalledTimes(2);
});
