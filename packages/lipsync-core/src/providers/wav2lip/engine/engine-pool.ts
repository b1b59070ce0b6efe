import { abortError, LipsyncError, toLipsyncError } from '../../../errors/index.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';
import type { EngineAddress, ModelSource } from './engine-address.ts';
import { findDevices, type DevicesByKind, type MachineDevice } from './engine-devices.ts';
import type { EngineSlot } from './engine-slot.ts';
import { createEngineSlots, type EnginePlace } from './engine-slots.ts';
import type { Warning } from '../../../contract/provider-types.ts';

export interface EnginePoolOptions {
  /** How long an engine without leases is kept. */
  readonly idleMs: number;
  /** Whether anything but the CPU may be tried. */
  readonly gpuEnabled: boolean;
  /** As in `DeviceSearch`; not set where nothing is said. */
  readonly cudaVisibleDevices?: string | null;
  /** How long an engine may take to load its model, an import of a checkpoint included. */
  readonly startLimitMs?: number;
  /** How long an engine may work on as many faces as it runs at once. */
  readonly batchLimitMs?: number;
  /** How often an engine says that it is alive, to its pool and to clients that wait. */
  readonly heartbeatMs?: number;
  /** How long a GPU that could not be used is left alone. */
  readonly retryDeviceMs?: number;
  /** The devices to try, asked for at each lease; those of this machine where nothing is said. */
  devices?(): Promise<DevicesByKind>;
}

/** The right to use an engine until `release` is called. An engine may be leased to several at once. */
export interface EngineLease {
  readonly engine: EngineAddress;
  /** Tells the engine's device from others of its kind. */
  readonly deviceName: string;
  /** One that names the devices that could not be used and why, or none. */
  readonly warnings: readonly Warning[];
  /** Says that the device failed at its work, so that it is left alone for a while as one that cannot be started. */
  blame(error: LipsyncError): void;
  release(): void;
}

export interface LeaseContext {
  readonly signal: AbortSignal;
  /** Names of devices that are not to be tried. */
  readonly except?: readonly string[];
}

/** Inference engines, each in a process of its own, kept warm between jobs. */
export interface EnginePool {
  /**
   * An engine that runs `model` on the first device that can, the least busy one among equal GPUs; started when none is
   * warm, on a GPU once more when it dies over that. The caller releases it. Throws `model_missing` or `model_invalid`
   * for a file that no device can run, the last device's error when none is left, and the signal's error.
   */
  lease(model: ModelSource, context: LeaseContext): Promise<EngineLease>;
  /** Ends every engine, leased ones included. Nothing can be leased afterwards. */
  close(): Promise<void>;
}

const defaults = { startLimitMs: 180_000, batchLimitMs: 120_000, heartbeatMs: 5_000, retryDeviceMs: 10 * 60_000 };

interface DeviceFailure {
  readonly device: MachineDevice;
  readonly error: LipsyncError;
  readonly atMs: number;
}

interface LeasedSlot {
  readonly slot: EngineSlot;
  readonly engine: EngineAddress;
}

/** Makes a pool without engines; the first lease starts one. */
export function createEnginePool(options: EnginePoolOptions): EnginePool {
  const {
    idleMs,
    gpuEnabled,
    cudaVisibleDevices = null,
    retryDeviceMs,
    startLimitMs,
    batchLimitMs,
    heartbeatMs,
  } = { ...defaults, ...options };
  const { devices = () => findDevices({ gpuEnabled, cudaVisibleDevices }) } = options;
  const slots = createEngineSlots({ idleMs, startLimitMs, batchLimitMs, heartbeatMs });
  const failures = new Map<string, DeviceFailure>();

  /** The failure of a device that is not worth another try yet. */
  const recentFailure = ({ key }: EnginePlace): DeviceFailure | undefined => {
    const failure = failures.get(key);
    return failure && performance.now() - failure.atMs < retryDeviceMs ? failure : undefined;
  };
  const remember = ({ key, device }: EnginePlace, error: LipsyncError): DeviceFailure => {
    const failure = { device, error, atMs: performance.now() };
    // The CPU is what remains: it is tried every time.
    if (device.kind !== 'cpu') failures.set(key, failure);
    return failure;
  };
  const leaseAt = async (place: EnginePlace, signal: AbortSignal): Promise<LeasedSlot | LipsyncError> => {
    const slot = slots.at(place);
    try {
      return { slot, engine: await slot.lease(signal) };
    } catch (thrown) {
      const error = toLipsyncError(thrown);
      if (signal.aborted || !isFaultOfDevice(error)) throw error;
      return error;
    }
  };
  const tryPlace = async (place: EnginePlace, signal: AbortSignal): Promise<LeasedSlot | DeviceFailure> => {
    const known = recentFailure(place);
    if (known) return known;
    const first = await leaseAt(place, signal);
    const outcome = isBadLuck(first, place) ? await leaseAt(place, signal) : first;
    return LipsyncError.isInstance(outcome) ? remember(place, outcome) : outcome;
  };

  return {
    async lease(source, { signal, except = [] }) {
      if (signal.aborted) throw abortError(signal);
      const stamp = await modelStamp(source);
      const tried: DeviceFailure[] = [];
      for (const equals of await devices()) {
        const places = equals
          .filter(({ name }) => !except.includes(name))
          .map((device) => ({ key: `${device.name} ${stamp}`, source, device }));
        for (const place of slots.leastBusyFirst(places)) {
          const outcome = await tryPlace(place, signal);
          if ('slot' in outcome) return toLease(outcome, place.device, tried, (error) => void remember(place, error));
          tried.push(outcome);
        }
      }
      throw tried.at(-1)?.error ?? new LipsyncError('not_supported', 'No device is left that the model may be run on.');
    },
    close: slots.close,
  };
}

/** Tells a model from another one that was put in its place. */
async function modelStamp({ path, cacheFolder }: ModelSource): Promise<string> {
  const refuse = (reason: string, cause: unknown): LipsyncError =>
    new LipsyncError('model_missing', `The file ${reason}.`, { cause });
  const {
    handle,
    stats: { size, mtimeMs },
  } = await openRegularFile(path, refuse);
  await handle.close();
  return `${size} ${mtimeMs} ${path} ${cacheFolder}`;
}

/** Whether another device may fare better: this one refused the model, or the process died over it. */
function isFaultOfDevice({ code }: LipsyncError): boolean {
  return code === 'not_supported' || code === 'media_failed';
}

/** A process that died may have done so over something else than its GPU; one that took too long would take as long again. */
function isBadLuck(outcome: LeasedSlot | LipsyncError, { device }: EnginePlace): boolean {
  return (
    LipsyncError.isInstance(outcome) &&
    outcome.code === 'media_failed' &&
    outcome.details['tooSlow'] !== true &&
    device.kind !== 'cpu'
  );
}

function toLease(
  { engine, slot }: LeasedSlot,
  device: MachineDevice,
  tried: readonly DeviceFailure[],
  blame: EngineLease['blame'],
): EngineLease {
  let released = false;
  return {
    engine,
    deviceName: device.name,
    warnings: tried.length === 0 ? [] : [unavailable(tried, device)],
    blame,
    release() {
      if (released) return;
      released = true;
      slot.giveBack();
    },
  };
}

function unavailable(tried: readonly DeviceFailure[], used: MachineDevice): Warning {
  const reasons = tried.map(({ device, error }) => `${device.name}: ${error.message}`).join(' ');
  return {
    code: 'engine_device_unavailable',
    message: `The engine runs on ${used.name}, because other devices could not be used. ${reasons}`,
  };
}
