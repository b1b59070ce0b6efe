import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { abortError, LipsyncError, toLipsyncError } from '../../../errors/index.ts';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';
import type { Warning } from '../../provider.ts';
import { engineDevices, type EngineAddress, type EngineDevice, type ModelSource } from './engine-address.ts';
import { startEngineChild, type EngineChild } from './engine-child.ts';
import { deviceName, findDevices } from './engine-devices.ts';
import { openEngineFolder } from './engine-folder.ts';
import { createEngineSlot, type EngineSlot } from './engine-slot.ts';

export interface EnginePoolOptions {
  /** How long an engine without leases is kept. */
  readonly idleMs: number;
  /** Whether anything but the CPU may be tried. */
  readonly gpuEnabled: boolean;
  /** How long an engine may take to load its model, an import of a checkpoint included. */
  readonly startLimitMs?: number;
  /** How long an engine may work on as many faces as it runs at once. */
  readonly batchLimitMs?: number;
  /** How often an engine says that it is alive, to its pool and to clients that wait. */
  readonly heartbeatMs?: number;
  /** How long a GPU that could not be used is left alone. */
  readonly retryDeviceMs?: number;
}

/** The right to use an engine until `release` is called. An engine may be leased to several at once. */
export interface EngineLease {
  readonly engine: EngineAddress;
  /** One that names the devices that could not be used and why, or none. */
  readonly warnings: readonly Warning[];
  /** Says that the device failed at its work, so that it is left alone for a while as one that cannot be started. */
  blame(error: LipsyncError): void;
  release(): void;
}

export interface LeaseContext {
  readonly signal: AbortSignal;
  /** Kinds of devices that may be used; all where nothing is said. */
  readonly devices?: readonly EngineDevice[];
}

/** Inference engines, each in a process of its own, kept warm between jobs. */
export interface EnginePool {
  /**
   * An engine that runs `model` on the first device that can, the least busy one among equal GPUs; started when none is
   * warm. The caller releases it. Throws `model_missing` or `model_invalid` for a file that no device can run, the last
   * device's error when none is left, and the signal's error.
   */
  lease(model: ModelSource, context: LeaseContext): Promise<EngineLease>;
  /** Ends every engine, leased ones included. Nothing can be leased afterwards. */
  close(): Promise<void>;
}

const defaults = { startLimitMs: 180_000, batchLimitMs: 120_000, heartbeatMs: 5_000, retryDeviceMs: 10 * 60_000 };

interface DeviceFailure {
  readonly device: OnnxDevice;
  readonly error: LipsyncError;
  readonly atMs: number;
}

/** Makes a pool without engines; the first lease starts one. */
export function createEnginePool(options: EnginePoolOptions): EnginePool {
  const slots = createSlots({ ...defaults, ...options });
  const failures = new Map<string, DeviceFailure>();
  const { gpuEnabled, retryDeviceMs = defaults.retryDeviceMs } = options;

  /** The failure of a device that is not worth another try yet. */
  const recentFailure = (key: string): DeviceFailure | undefined => {
    const failure = failures.get(key);
    return failure && performance.now() - failure.atMs < retryDeviceMs ? failure : undefined;
  };
  const remember = ({ device }: EngineSlot, key: string, error: LipsyncError): DeviceFailure => {
    const failure = { device, error, atMs: performance.now() };
    // The CPU is what remains: it is tried every time.
    if (device.kind !== 'cpu') failures.set(key, failure);
    return failure;
  };
  const tryDevice = async (slot: EngineSlot, key: string, { signal }: LeaseContext): Promise<EngineAddress | DeviceFailure> => {
    const known = recentFailure(key);
    if (known) return known;
    try {
      return await slot.lease(signal);
    } catch (thrown) {
      const error = toLipsyncError(thrown);
      if (signal.aborted || !isFaultOfDevice(error)) throw error;
      return remember(slot, key, error);
    }
  };

  return {
    async lease(model, context) {
      if (context.signal.aborted) throw abortError(context.signal);
      const stamp = await modelStamp(model);
      const tried: DeviceFailure[] = [];
      for (const equals of await findDevices(context.devices ?? engineDevices, gpuEnabled)) {
        for (const { key, slot } of slots.leastBusyFirst(model, stamp, equals)) {
          const outcome = await tryDevice(slot, key, context);
          if (!('error' in outcome)) return toLease(outcome, slot, tried, (error) => void remember(slot, key, error));
          tried.push(outcome);
        }
      }
      throw tried.at(-1)?.error ?? new LipsyncError('not_supported', 'No device is left that the model may be run on.');
    },
    close: slots.close,
  };
}

interface Slots {
  /** Slots of `model` on devices of one kind; among equally busy ones those that are warm. */
  leastBusyFirst(model: ModelSource, stamp: string, devices: readonly OnnxDevice[]): { readonly key: string; readonly slot: EngineSlot }[];
  close(): Promise<void>;
}

function createSlots(options: EnginePoolOptions & typeof defaults): Slots {
  const slots = new Map<string, EngineSlot>();
  let closed = false;

  const start = async (source: ModelSource, device: OnnxDevice, onGone: () => void): Promise<EngineChild> => {
    await makeRoom(slots.values(), device);
    const folder = await openEngineFolder();
    // At once rather than in time, so that nothing is left when the pool has closed.
    const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
    if (closed) {
      removeFolder();
      throw new LipsyncError('canceled', 'The engines are being shut down.');
    }
    const { heartbeatMs, batchLimitMs, startLimitMs } = options;
    return startEngineChild({
      source, device, socketPath: join(folder, 'engine.sock'), heartbeatMs, batchLimitMs, startLimitMs,
      onGone: () => {
        removeFolder();
        onGone();
      },
    });
  };
  const slotOf = (key: string, source: ModelSource, device: OnnxDevice): EngineSlot => {
    const slot = slots.get(key) ?? createEngineSlot({ device, idleMs: options.idleMs, start: (onGone) => start(source, device, onGone) });
    slots.set(key, slot);
    return slot;
  };

  return {
    leastBusyFirst(source, stamp, devices) {
      for (const [key, { isWarm, leases }] of slots) if (!isWarm && leases === 0) slots.delete(key);
      return devices
        .map((device) => ({ key: `${deviceName(device)} ${stamp}`, device }))
        .map(({ key, device }) => ({ key, slot: slotOf(key, source, device) }))
        .sort((one, other) => one.slot.leases - other.slot.leases || Number(other.slot.isWarm) - Number(one.slot.isWarm));
    },
    async close() {
      closed = true;
      await Promise.all([...slots.values()].map((slot) => slot.end({ force: true })));
    },
  };
}

/** An engine that nobody uses does not keep a device's memory from the one that starts. */
async function makeRoom(slots: Iterable<EngineSlot>, device: OnnxDevice): Promise<void> {
  const idle = [...slots].filter((slot) => slot.leases === 0 && deviceName(slot.device) === deviceName(device));
  await Promise.all(idle.map((slot) => slot.end({ force: false })));
}

/** Tells a model from another one that was put in its place. */
async function modelStamp({ path, cacheFolder }: ModelSource): Promise<string> {
  const refuse = (reason: string, cause: unknown): LipsyncError => new LipsyncError('model_missing', `The file ${reason}.`, { cause });
  const { handle, stats: { size, mtimeMs } } = await openRegularFile(path, refuse);
  await handle.close();
  return `${size} ${mtimeMs} ${path} ${cacheFolder}`;
}

/** Whether another device may fare better: this one refused the model, or the process died over it. */
function isFaultOfDevice({ code }: LipsyncError): boolean {
  return code === 'not_supported' || code === 'media_failed';
}

function toLease(engine: EngineAddress, slot: EngineSlot, tried: readonly DeviceFailure[], blame: EngineLease['blame']): EngineLease {
  let released = false;
  return {
    engine,
    warnings: tried.length === 0 ? [] : [unavailable(tried, slot.device)],
    blame,
    release() {
      if (released) return;
      released = true;
      slot.giveBack();
    },
  };
}

function unavailable(tried: readonly DeviceFailure[], used: OnnxDevice): Warning {
  const reasons = tried.map(({ device, error }) => `${deviceName(device)}: ${error.message}`).join(' ');
  return { code: 'engine_device_unavailable', message: `The engine runs on ${deviceName(used)}, because other devices could not be used. ${reasons}` };
}
