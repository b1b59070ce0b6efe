import { abortError, LipsyncError, toLipsyncError } from '../../../errors/index.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';
import type { Warning } from '../../../contract/provider-types.ts';
import type { EngineAddress, MachineDevice, ModelSource } from './engine-address.ts';
import { EngineStartTimeoutError } from './engine-child.ts';
import { findDevices, type DevicesByKind } from './engine-devices.ts';
import { EngineSlots, type EngineSlot, type EngineTarget } from './engine-slots.ts';

export interface EnginePoolOptions {
  /** How long an engine without leases is kept. */
  readonly idleMs: number;
  /** Whether devices other than the CPU may be tried. */
  readonly gpuEnabled: boolean;
  /** As in `DeviceSearch`; null by default. */
  readonly cudaVisibleDevices?: string | null;
  /** Longest time for loading a model, including the import of a checkpoint. */
  readonly startLimitMs?: number;
  /** Longest time for one run of the model. */
  readonly batchLimitMs?: number;
  /** Interval of the heartbeats to the pool and to waiting clients. */
  readonly heartbeatMs?: number;
  /** How long a GPU that failed is skipped. */
  readonly retryDeviceMs?: number;
  /** Lists the devices to try, called for each lease; those of this machine by default. */
  devices?(): Promise<DevicesByKind>;
}

/** The right to use an engine until `release`. Several leases may share an engine. */
export interface EngineLease {
  readonly engine: EngineAddress;
  /** Unique among the devices of this machine. */
  readonly deviceName: string;
  /** At most one: the devices that could not be used, with reasons. */
  readonly warnings: readonly Warning[];
  /** Records that the device failed at its work, so that later leases skip it for a while. */
  blame(error: LipsyncError): void;
  release(): void;
}

export interface LeaseContext {
  readonly signal: AbortSignal;
  /** Names of devices to skip. */
  readonly except?: readonly string[];
}

const defaults = { startLimitMs: 180_000, batchLimitMs: 120_000, heartbeatMs: 5_000, retryDeviceMs: 10 * 60_000 };

interface DeviceFailure {
  readonly type: 'failed';
  readonly device: MachineDevice;
  readonly error: LipsyncError;
  readonly atMs: number;
}

interface LeasedSlot {
  readonly type: 'leased';
  readonly slot: EngineSlot;
  readonly engine: EngineAddress;
}

type LeaseOutcome = LeasedSlot | { readonly type: 'refused'; readonly error: LipsyncError };

/** Inference engines, each in its own process and kept warm between jobs. The first lease starts an engine. */
export class EnginePool {
  readonly #slots: EngineSlots;
  readonly #retryDeviceMs: number;
  readonly #listDevices: () => Promise<DevicesByKind>;
  readonly #failures = new Map<string, DeviceFailure>();

  constructor(options: EnginePoolOptions) {
    const { idleMs, gpuEnabled, cudaVisibleDevices = null, retryDeviceMs, ...limits } = { ...defaults, ...options };
    const { startLimitMs, batchLimitMs, heartbeatMs } = limits;
    this.#slots = new EngineSlots({ idleMs, startLimitMs, batchLimitMs, heartbeatMs });
    this.#retryDeviceMs = retryDeviceMs;
    this.#listDevices = options.devices?.bind(options) ?? (() => findDevices({ gpuEnabled, cudaVisibleDevices }));
  }

  /**
   * Leases an engine that runs `model` on the first usable device, the least busy one among equal GPUs. Starts it if
   * none is warm; on a GPU a crash during the start is retried once. The caller releases the lease. Throws
   * `model_missing` or `model_invalid` for a file that no device can run, the error of the last device if none is left,
   * and the abort error.
   */
  async lease(source: ModelSource, { signal, except = [] }: LeaseContext): Promise<EngineLease> {
    if (signal.aborted) throw abortError(signal);
    const modelKey = await getModelKey(source);
    const failures: DeviceFailure[] = [];
    for (const equalDevices of await this.#listDevices()) {
      const targets = equalDevices
        .filter(({ name }) => !except.includes(name))
        .map((device) => ({ key: `${device.name} ${modelKey}`, source, device }));
      for (const target of this.#slots.sortLeastBusyFirst(targets)) {
        const outcome = await this.#tryTarget(target, signal);
        if (outcome.type === 'leased') return this.#toLease(outcome, target, failures);
        failures.push(outcome);
      }
    }
    throw (
      failures.at(-1)?.error ?? new LipsyncError('not_supported', 'No device of this machine is left to run the model.')
    );
  }

  /** Ends every engine, leased ones included, and prevents further leases. */
  close(): Promise<void> {
    return this.#slots.close();
  }

  async #tryTarget(target: EngineTarget, signal: AbortSignal): Promise<LeasedSlot | DeviceFailure> {
    const known = this.#recentFailure(target);
    if (known) return known;
    let outcome = await this.#leaseAt(target, signal);
    if (outcome.type === 'refused' && isWorthRetrying(outcome.error, target.device))
      outcome = await this.#leaseAt(target, signal);
    return outcome.type === 'leased' ? outcome : this.#recordFailure(target, outcome.error);
  }

  async #leaseAt(target: EngineTarget, signal: AbortSignal): Promise<LeaseOutcome> {
    const slot = this.#slots.get(target);
    try {
      return { type: 'leased', slot, engine: await slot.lease(signal) };
    } catch (thrown) {
      const error = toLipsyncError(thrown);
      if (signal.aborted || !mayWorkElsewhere(error)) throw error;
      return { type: 'refused', error };
    }
  }

  #recentFailure({ key }: EngineTarget): DeviceFailure | undefined {
    const failure = this.#failures.get(key);
    return failure && performance.now() - failure.atMs < this.#retryDeviceMs ? failure : undefined;
  }

  #recordFailure({ key, device }: EngineTarget, error: LipsyncError): DeviceFailure {
    const failure: DeviceFailure = { type: 'failed', device, error, atMs: performance.now() };
    // The CPU is the last resort and is tried every time.
    if (device.kind !== 'cpu') this.#failures.set(key, failure);
    return failure;
  }

  #toLease({ engine, slot }: LeasedSlot, target: EngineTarget, failures: readonly DeviceFailure[]): EngineLease {
    let released = false;
    return {
      engine,
      deviceName: target.device.name,
      warnings: failures.length === 0 ? [] : [unavailableWarning(failures, target.device)],
      blame: (error) => void this.#recordFailure(target, error),
      release() {
        if (released) return;
        released = true;
        slot.release();
      },
    };
  }
}

/** Distinguishes a model file from one that replaces it at the same path. */
async function getModelKey({ path, cacheFolder }: ModelSource): Promise<string> {
  const refuse = (reason: string, cause: unknown): LipsyncError =>
    new LipsyncError('model_missing', `The file ${reason}.`, { cause });
  const {
    handle,
    stats: { size, mtimeMs },
  } = await openRegularFile(path, refuse);
  await handle.close();
  return `${size} ${mtimeMs} ${path} ${cacheFolder}`;
}

/** Whether another device may run the model: this one refused it, or the process crashed. */
function mayWorkElsewhere({ code }: LipsyncError): boolean {
  return code === 'not_supported' || code === 'media_failed';
}

/** A crash may have another cause than the GPU. A start that exceeded its limit would take as long again. */
function isWorthRetrying(error: LipsyncError, device: MachineDevice): boolean {
  return error.code === 'media_failed' && !(error instanceof EngineStartTimeoutError) && device.kind !== 'cpu';
}

function unavailableWarning(failures: readonly DeviceFailure[], used: MachineDevice): Warning {
  const reasons = failures.map(({ device, error }) => `${device.name}: ${error.message}`).join(' ');
  return {
    code: 'engine_device_unavailable',
    message: `The engine runs on ${used.name} because other devices could not be used. ${reasons}`,
  };
}
