import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { LipsyncError } from '../../../errors/index.ts';
import type { ModelSource } from './engine-address.ts';
import { startEngineChild, type EngineChild, type EngineChildOptions } from './engine-child.ts';
import type { MachineDevice } from './engine-devices.ts';
import { openEngineFolder } from './engine-folder.ts';
import { createEngineSlot, type EngineSlot } from './engine-slot.ts';

export interface EngineSlotsOptions extends Pick<EngineChildOptions, 'heartbeatMs' | 'batchLimitMs' | 'startLimitMs'> {
  readonly idleMs: number;
}

/** A model on a device. */
export interface EnginePlace {
  /** Told from all others by it: device and model, the file's state included. */
  readonly key: string;
  readonly source: ModelSource;
  readonly device: MachineDevice;
}

/** The slots of all engines of a pool. */
export interface EngineSlots {
  /** The places in the order of how many leases their devices have; among equally busy ones those with a warm engine first. */
  leastBusyFirst(places: readonly EnginePlace[]): readonly EnginePlace[];
  /**
   * The slot of a place. It is to be leased at once: one without leases and engine is forgotten at the next call, and
   * another made for the same place.
   */
  at(place: EnginePlace): EngineSlot;
  /** Ends every engine; none can be started afterwards. */
  close(): Promise<void>;
}

export function createEngineSlots({ idleMs, ...limits }: EngineSlotsOptions): EngineSlots {
  const slots = new Map<string, EngineSlot>();
  let closed = false;

  const start = async ({ source, device }: EnginePlace, onGone: () => void): Promise<EngineChild> => {
    await makeRoom(slots.values(), device);
    const folder = await openEngineFolder();
    // At once rather than in time, so that nothing is left when the pool has closed.
    const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
    if (closed) {
      removeFolder();
      throw new LipsyncError('canceled', 'The engines are being shut down.');
    }
    return startEngineChild({
      ...limits,
      source,
      device,
      socketPath: join(folder, 'engine.sock'),
      onGone: () => {
        removeFolder();
        onGone();
      },
    });
  };
  const leasesOn = ({ name }: MachineDevice): number =>
    [...slots.values()].reduce((sum, { device, leases }) => (device.name === name ? sum + leases : sum), 0);
  const isWarm = ({ key }: EnginePlace): boolean => slots.get(key)?.isWarm === true;

  return {
    leastBusyFirst: (places) =>
      places.toSorted(
        (one, other) => leasesOn(one.device) - leasesOn(other.device) || Number(isWarm(other)) - Number(isWarm(one)),
      ),
    at(place) {
      for (const [key, slot] of slots) if (!slot.isWarm && slot.leases === 0) slots.delete(key);
      const slot =
        slots.get(place.key) ??
        createEngineSlot({ device: place.device, idleMs, start: (onGone) => start(place, onGone) });
      slots.set(place.key, slot);
      return slot;
    },
    async close() {
      closed = true;
      await Promise.all([...slots.values()].map((slot) => slot.end({ force: true })));
    },
  };
}

/** An engine that nobody uses does not keep a device's memory from the one that starts. */
async function makeRoom(slots: Iterable<EngineSlot>, { name }: MachineDevice): Promise<void> {
  const idle = [...slots].filter(({ leases, device }) => leases === 0 && device.name === name);
  await Promise.all(idle.map((slot) => slot.end({ force: false })));
}
