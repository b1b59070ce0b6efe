import { fork, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toError } from '../../../errors/carried-failure.ts';
import { LipsyncError } from '../../../errors/index.ts';
import { watchExit, type ExitWatch } from '../../../processes/exit-watch.ts';
import type { EngineAddress } from './engine-address.ts';
import type { EngineStart, FromEngine, ToEngine } from './engine-messages.ts';

export interface EngineChildOptions extends Omit<EngineStart, 'type'> {
  /** How long loading may take; importing a checkpoint is part of it. */
  readonly startLimitMs: number;
  /** Called once when the process is gone, for whatever reason. */
  onGone(): void;
}

/** An engine process, seen from its pool. */
export interface EngineChild {
  /** Where it is reached, once it can draw; rejects with its failure, or `media_failed` when it died or took too long, the latter with `details.tooSlow`. */
  readonly ready: Promise<EngineAddress>;
  /** Whether it answers a question; it does not when it has died and nobody has noticed yet. */
  answers(): Promise<boolean>;
  /** Ends it, whatever it does, and waits until it is gone. */
  end(): Promise<void>;
}

const maxStderrCharacters = 4_000;
/** Signs of life that may be missing before a process is taken to hang. */
const missedHeartbeats = 6;

/** Starts an engine process. It ends with this process, and must not keep it alive once it is ready. */
export function startEngineChild({ startLimitMs, onGone, ...start }: EngineChildOptions): EngineChild {
  const child = forkEngine();
  const exit = watchExit(child);
  let asked = 0;
  const kill = (): void => void child.kill('SIGKILL');
  exit.onExit(onGone);
  const ready = untilReady(child, exit, startLimitMs).then(({ cropSizePx, batchSize }) => {
    exit.onExit(watchHeartbeats(child, start.heartbeatMs, kill));
    letParentExit(child);
    return { socketPath: start.socketPath, device: start.device.kind, cropSizePx, batchSize };
  });
  // An engine that does not get ready serves nobody; whoever waits hears why.
  ready.catch(kill);
  send(child, { type: 'start', ...start });
  return {
    ready,
    async answers() {
      asked += 1;
      keepParent(child);
      const does = await answerOf(child, exit);
      asked -= 1;
      if (asked === 0) letParentExit(child);
      return does;
    },
    async end() {
      child.ref();
      kill();
      await new Promise<string>((resolve) => void exit.onExit(resolve));
    },
  };
}

/** Whether the process answers. Bounded by the watch over its heartbeats, which ends a process that stands still. */
function answerOf(child: ChildProcess, exit: ExitWatch): Promise<boolean> {
  return new Promise((resolve) => {
    const onMessage = ({ type }: FromEngine): void => {
      if (type === 'answer') settle(true);
    };
    const settle = (does: boolean): void => {
      child.off('message', onMessage);
      stopWaiting();
      resolve(does);
    };
    child.on('message', onMessage);
    const stopWaiting = exit.onExit(() => settle(false));
    send(child, { type: 'ask' });
  });
}

/** A process that is gone is noticed through its exit; the failed send says nothing new. */
function send(child: ChildProcess, message: ToEngine): void {
  child.send(message, () => undefined);
}

/** The same file runs from source and from the build; only its extension differs. */
function forkEngine(): ChildProcess {
  const extension = extname(fileURLToPath(import.meta.url));
  const entry = fileURLToPath(new URL(`./engine-process${extension}`, import.meta.url));
  // In a group of its own, so that the terminal's Ctrl-C reaches the parent alone, which ends it in good order.
  return fork(entry, [], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
    execArgv: [],
    detached: true,
  });
}

/**
 * Calls `onSilence` when the process gives no sign for a while. Counts its own ticks instead of looking at the clock: a
 * machine that slept, or a parent that was busy, is not taken for a silent child.
 */
function watchHeartbeats(child: ChildProcess, heartbeatMs: number, onSilence: () => void): () => void {
  let missed = 0;
  child.on('message', () => (missed = 0));
  const timer = setInterval(() => {
    missed += 1;
    if (missed > missedHeartbeats) onSilence();
  }, heartbeatMs);
  timer.unref();
  return () => clearInterval(timer);
}

function untilReady(
  child: ChildProcess,
  exit: ExitWatch,
  limitMs: number,
): Promise<Extract<FromEngine, { type: 'ready' }>> {
  let stderrTail = '';
  child.stderr?.on(
    'data',
    (chunk: Buffer) => (stderrTail = (stderrTail + chunk.toString()).slice(-maxStderrCharacters)),
  );
  return new Promise((resolve, reject) => {
    const fail = (reason: string, details = {}): void => {
      // Else it would keep a program alive whose engine is gone.
      clearTimeout(limit);
      reject(
        new LipsyncError('media_failed', `The engine ended before it was ready (${reason}).`, {
          cause: new Error(stderrTail.trim() || 'it printed nothing'),
          details,
        }),
      );
    };
    const limit = setTimeout(() => fail(`it took more than ${limitMs / 1000} s`, { tooSlow: true }), limitMs);
    const stopWaiting = exit.onExit((reason) => fail(reason));
    child.on('message', (message: FromEngine) => {
      if (message.type !== 'ready' && message.type !== 'failed') return;
      clearTimeout(limit);
      stopWaiting();
      if (message.type === 'ready') resolve(message);
      else reject(toError(message));
    });
  });
}

function keepParent(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
}

/** A warm engine must not keep a program alive that has nothing else to do. */
function letParentExit(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  if (child.stderr instanceof Socket) child.stderr.unref();
}
