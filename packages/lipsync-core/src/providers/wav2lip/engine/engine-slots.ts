import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import { isGone, thisProcess, type ProcessOwner } from '../../../processes/process-owner.ts';
import type { EngineAddress, MachineDevice, ModelSource } from './engine-address.ts';
import { EngineChild, type EngineChildOptions } from './engine-child.ts';

export interface EngineSlotOptions {
  readonly device: MachineDevice;
  /** How long an engine without leases is kept. */
  readonly idleMs: number;
  /** Starts an engine; `onExit` must be called when its process has ended. */
  start(onExit: () => void): Promise<Pick<EngineChild, 'ready' | 'responds' | 'end'>>;
}

/** Holds at most one engine: one model on one device. Starts it on the first lease and ends it after an idle period. */
export class EngineSlot {
  readonly device: MachineDevice;
  readonly #idleMs: number;
  readonly #start: EngineSlotOptions['start'];
  #leases = 0;
  #child: ReturnType<EngineSlotOptions['start']> | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor({ device, idleMs, start }: EngineSlotOptions) {
    this.device = device;
    this.#idleMs = idleMs;
    this.#start = start;
  }

  get leases(): number {
    return this.#leases;
  }

  get isWarm(): boolean {
    return this.#child !== undefined;
  }

  /**
   * Returns the engine, started if necessary. Counts as a lease until `release` unless it throws: the start failure of
   * the engine, or the abort error.
   */
  async lease(signal: AbortSignal): Promise<EngineAddress> {
    if (signal.aborted) throw abortError(signal);
    this.#leases += 1;
    clearTimeout(this.#idleTimer);
    try {
      return await unlessAborted(this.#liveEngine(signal), signal);
    } catch (error) {
      this.release();
      throw error;
    }
  }

  release(): void {
    this.#leases -= 1;
    if (this.#leases > 0) return;
    this.#idleTimer = setTimeout(() => void this.end({ force: false }), this.#idleMs);
    this.#idleTimer.unref();
  }

  /** Ends the engine if it has no leases, or in any case with `force`. */
  async end({ force }: { readonly force: boolean }): Promise<void> {
    const ending = this.#child;
    if (!ending || (this.#leases > 0 && !force)) return;
    // The process is no longer leased, although it may take a moment to end.
    this.#forget(ending);
    clearTimeout(this.#idleTimer);
    await ending.then(
      (child) => child.end(),
      () => undefined,
    );
  }

  /** Leases during a start share the same engine. */
  #engine(): ReturnType<EngineSlotOptions['start']> {
    if (this.#child) return this.#child;
    const started = this.#start(() => this.#forget(started));
    this.#child = started;
    started.then(({ ready }) => ready).catch(() => this.#forget(started));
    return started;
  }

  /** Replaces a warm engine that has died unnoticed. */
  async #liveEngine(signal: AbortSignal): Promise<EngineAddress> {
    const warm = this.#child;
    if (!warm) return (await this.#engine()).ready;
    const child = await warm;
    const address = await child.ready;
    if (await child.responds()) return address;
    this.#forget(warm);
    if (signal.aborted) throw abortError(signal);
    return (await this.#engine()).ready;
  }

  #forget(ended: ReturnType<EngineSlotOptions['start']>): void {
    if (this.#child === ended) this.#child = undefined;
  }
}

/** Waits for `work`, or throws the abort error at once. The work itself continues for other callers. */
function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

export interface EngineSlotsOptions extends Pick<EngineChildOptions, 'heartbeatMs' | 'batchLimitMs' | 'startLimitMs'> {
  readonly idleMs: number;
}

/** A model on a device. */
export interface EngineTarget {
  /** Identifies device and model, including size and modification time of the model file. */
  readonly key: string;
  readonly source: ModelSource;
  readonly device: MachineDevice;
}

/** The slots of all engines of a pool. */
export class EngineSlots {
  readonly #idleMs: number;
  readonly #limits: Omit<EngineSlotsOptions, 'idleMs'>;
  readonly #slots = new Map<string, EngineSlot>();
  #closed = false;

  constructor({ idleMs, ...limits }: EngineSlotsOptions) {
    this.#idleMs = idleMs;
    this.#limits = limits;
  }

  /** Sorts by number of leases on the device; among equally busy devices those with a warm engine come first. */
  sortLeastBusyFirst(targets: readonly EngineTarget[]): readonly EngineTarget[] {
    return targets.toSorted(
      (one, other) =>
        this.#leasesOn(one.device) - this.#leasesOn(other.device) ||
        Number(this.#isWarm(other)) - Number(this.#isWarm(one)),
    );
  }

  /**
   * Returns the slot of a target. Lease it at once: the next call drops slots that have neither leases nor an engine.
   */
  get(target: EngineTarget): EngineSlot {
    for (const [key, slot] of this.#slots) if (!slot.isWarm && slot.leases === 0) this.#slots.delete(key);
    const slot =
      this.#slots.get(target.key) ??
      new EngineSlot({
        device: target.device,
        idleMs: this.#idleMs,
        start: (onExit) => this.#start(target, onExit),
      });
    this.#slots.set(target.key, slot);
    return slot;
  }

  /** Ends every engine and prevents further starts. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#slots.values()].map((slot) => slot.end({ force: true })));
  }

  async #start({ source, device }: EngineTarget, onExit: () => void): Promise<EngineChild> {
    await this.#endIdleEngines(device);
    const folder = await openEngineFolder();
    // Synchronous, so that no folder is left when the pool has closed.
    const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
    if (this.#closed) {
      removeFolder();
      throw new LipsyncError('canceled', 'The inference engines are shutting down.');
    }
    return new EngineChild({
      ...this.#limits,
      source,
      device,
      socketPath: join(folder, 'engine.sock'),
      onExit: () => {
        removeFolder();
        onExit();
      },
    });
  }

  /** Frees device memory that idle engines hold before another engine starts there. */
  async #endIdleEngines({ name }: MachineDevice): Promise<void> {
    const idle = [...this.#slots.values()].filter(({ leases, device }) => leases === 0 && device.name === name);
    await Promise.all(idle.map((slot) => slot.end({ force: false })));
  }

  #leasesOn({ name }: MachineDevice): number {
    return [...this.#slots.values()].reduce(
      (sum, { device, leases }) => (device.name === name ? sum + leases : sum),
      0,
    );
  }

  #isWarm({ key }: EngineTarget): boolean {
    return this.#slots.get(key)?.isWarm === true;
  }
}

/** Process id, start time and host digest of the pool. The full host name could exceed the limit of socket paths. */
const folderPattern = /^lipsync-(\d{1,10})-(\d{1,15}|unknown)-([0-9a-f]{8})-\w{6}$/;
/** Socket paths are limited to 104 bytes on some systems; the rest is for the name of the socket. */
const maxFolderPathBytes = 90;

/**
 * Creates a folder for a socket that only this user can enter, and deletes folders of processes that have ended. The
 * caller deletes the new folder.
 */
async function openEngineFolder(): Promise<string> {
  const owner = await thisProcess();
  const prefix = `lipsync-${owner.pid}-${owner.startTicks ?? 'unknown'}-${hostDigest(owner)}-`;
  const root = Buffer.byteLength(join(tmpdir(), `${prefix}XXXXXX`)) <= maxFolderPathBytes ? tmpdir() : '/tmp';
  await sweepFolders(root, owner);
  return mkdtemp(join(root, prefix));
}

async function sweepFolders(root: string, self: ProcessOwner): Promise<void> {
  const names = await readdir(root).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const owner = parseOwner(name, self);
      // Folders of other users cannot be deleted and stay.
      if (owner && (await isGone(owner)))
        await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined);
    }),
  );
}

/** The process that created an engine folder; undefined for other files and for folders of other hosts. */
function parseOwner(name: string, self: ProcessOwner): ProcessOwner | undefined {
  const [, pid, startTicks, host] = folderPattern.exec(name) ?? [];
  if (pid === undefined || host !== hostDigest(self)) return undefined;
  return { pid: Number(pid), startTicks: startTicks === 'unknown' ? null : Number(startTicks), host: self.host };
}

function hostDigest({ host }: ProcessOwner): string {
  return createHash('sha256').update(host).digest('hex').slice(0, 8);
}
