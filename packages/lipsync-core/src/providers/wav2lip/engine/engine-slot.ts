import { abortError } from '../../../errors/index.ts';
import type { EngineAddress } from './engine-address.ts';
import type { EngineChild } from './engine-child.ts';
import type { MachineDevice } from './engine-devices.ts';

export interface EngineSlotOptions {
  readonly device: MachineDevice;
  readonly idleMs: number;
  /** Starts an engine for this slot; `onGone` is to be called when its process is gone. */
  start(onGone: () => void): Promise<EngineChild>;
}

/** The place of one engine: one model on one device. Starts it when it is wanted, and lets it go when nobody wants it. */
export interface EngineSlot {
  readonly device: MachineDevice;
  readonly leases: number;
  readonly isWarm: boolean;
  /**
   * The engine, started when there is none. Counts as a lease, which the caller gives back, unless it throws: why the
   * engine could not be started, or the signal's error.
   */
  lease(signal: AbortSignal): Promise<EngineAddress>;
  giveBack(): void;
  /** Ends the engine when nobody leases it, or whatever it does with `force`. */
  end(how: { readonly force: boolean }): Promise<void>;
}

export function createEngineSlot({ device, idleMs, start }: EngineSlotOptions): EngineSlot {
  let leases = 0;
  let child: Promise<EngineChild> | undefined;
  let idleTimer: NodeJS.Timeout | undefined;

  /** All who want the engine while it starts wait for the same one. */
  const engine = (): Promise<EngineChild> => {
    if (child) return child;
    const started = start(() => forget(started));
    child = started;
    // One that does not get ready is not given to anybody else while it goes.
    started.then(({ ready }) => ready).catch(() => forget(started));
    return started;
  };
  /** A warm engine may have died a moment ago; then another one is started. */
  const liveEngine = async (signal: AbortSignal): Promise<EngineAddress> => {
    const warm = child;
    if (!warm) return (await engine()).ready;
    const { ready, answers } = await warm;
    const address = await ready;
    if (await answers()) return address;
    forget(warm);
    if (signal.aborted) throw abortError(signal);
    return (await engine()).ready;
  };
  const forget = (gone: Promise<EngineChild>): void => {
    if (child === gone) child = undefined;
  };
  const end: EngineSlot['end'] = async ({ force }) => {
    const ending = child;
    if (!ending || (leases > 0 && !force)) return;
    // From here on nobody is given this process; it may take a moment longer to be gone.
    forget(ending);
    clearTimeout(idleTimer);
    await ending.then(
      (process) => process.end(),
      () => undefined,
    );
  };
  const giveBack = (): void => {
    leases -= 1;
    if (leases > 0) return;
    idleTimer = setTimeout(() => void end({ force: false }), idleMs);
    idleTimer.unref();
  };

  return {
    device,
    get leases() {
      return leases;
    },
    get isWarm() {
      return child !== undefined;
    },
    async lease(signal) {
      if (signal.aborted) throw abortError(signal);
      leases += 1;
      clearTimeout(idleTimer);
      try {
        return await unlessAborted(liveEngine(signal), signal);
      } catch (error) {
        giveBack();
        throw error;
      }
    },
    giveBack,
    end,
  };
}

/** What is waited for, or the signal's error as soon as it aborts; the work itself goes on for others who wait. */
function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
