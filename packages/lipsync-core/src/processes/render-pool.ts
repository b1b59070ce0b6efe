import { fork, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ProgressReport } from '../contract/provider-types.ts';
import { toError } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';
import { resolveEntry } from './entry.ts';
import { watchExit, type ExitWatch } from './exit-watch.ts';
import type { FromRenderProcess, ToRenderProcess } from './render-messages.ts';
import { listTaskModules, type RenderTask, type RenderTaskAddress } from './render-task.ts';

export interface RenderPoolOptions {
  /** Processes that stay warm, waiting for the next task, at most. */
  readonly keepWarm: number;
  /** How long a process waits for the next task before it is let go. */
  readonly idleMs: number;
  /** How long a canceled task may take to clean up before its process is killed. */
  readonly cancelGraceMs: number;
  /**
   * A process whose event loop gives no sign for so long while it has a task is taken to hang and is killed. A task may
   * work for longer without reporting progress.
   */
  readonly silenceLimitMs: number;
}

export interface RenderContext {
  readonly signal: AbortSignal;
  onProgress?(progress: ProgressReport): void;
}

/** Runs render tasks in processes of their own, so that pictures are never worked on where a queue's lock is kept. */
export interface RenderPool {
  /** Resolves with the task's result; throws its `LipsyncError`, or `media_failed` when the process died. */
  run<Input, Result>(task: RenderTask<Input, Result>, input: Input, context: RenderContext): Promise<Result>;
  /** Starts a process for an expected task and imports the tasks' modules there, unless one is idle or none is kept. */
  warm(): void;
  /** Ends every process, running tasks included. */
  close(): Promise<void>;
}

const maxStderrCharacters = 4_000;
/** Signs of life that may be late or lost before a process is taken to hang. */
const heartbeatsPerSilence = 6;
const longestHeartbeatMs = 5_000;

export function createRenderPool(options: RenderPoolOptions): RenderPool {
  const idle: RenderProcess[] = [];
  const all = new Set<RenderProcess>();

  function take(): RenderProcess {
    const warm = idle.pop();
    if (warm) return warm;
    const started = startRenderProcess(() => {
      all.delete(started);
      forget(started);
    });
    all.add(started);
    return started;
  }

  /** From here on nobody is given this process; it may take a moment longer to be gone. */
  function forget(leaving: RenderProcess): void {
    const index = idle.indexOf(leaving);
    if (index >= 0) idle.splice(index, 1);
  }

  function giveBack(used: RenderProcess): void {
    if (!all.has(used) || used.leaving) return;
    if (idle.length >= options.keepWarm) return used.kill();
    idle.push(used);
    used.onIdleFor(options.idleMs, () => {
      forget(used);
      used.kill();
    });
  }

  return {
    async run<Input, Result>(task: RenderTask<Input, Result>, input: Input, context: RenderContext) {
      if (context.signal.aborted) throw abortError(context.signal);
      const process = take();
      try {
        const result = await process.run({ task, input }, context, options);
        // `as`: the process answers with what the body of the task returned.
        return result as Result;
      } finally {
        giveBack(process);
      }
    },
    warm() {
      if (idle.length > 0 || options.keepWarm === 0) return;
      const started = take();
      started.preload(listTaskModules());
      started.letParentExit();
      giveBack(started);
    },
    async close() {
      await Promise.all([...all].map((process) => process.end()));
    },
  };
}

interface TaskRequest {
  readonly task: RenderTaskAddress;
  readonly input: unknown;
}

type TaskLimits = Pick<RenderPoolOptions, 'cancelGraceMs' | 'silenceLimitMs'>;

interface RenderProcess {
  /** Whether it was told to end. */
  readonly leaving: boolean;
  run(request: TaskRequest, context: RenderContext, limits: TaskLimits): Promise<unknown>;
  preload(moduleUrls: readonly string[]): void;
  kill(): void;
  /** From here on, until its next task, it keeps no program alive that has nothing else to do. */
  letParentExit(): void;
  /** Calls `then` unless another task comes before `idleMs` are over. */
  onIdleFor(idleMs: number, then: () => void): void;
  end(): Promise<void>;
}

function startRenderProcess(onGone: () => void): RenderProcess {
  const child = forkRenderProcess();
  const exit = watchExit(child);
  exit.onExit(() => {
    killGroup(child);
    onGone();
  });
  let stderrTail = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderrTail = (stderrTail + chunk.toString()).slice(-maxStderrCharacters);
  });
  let idleTimer: NodeJS.Timeout | undefined;
  let leaving = false;
  const kill = (): void => {
    leaving = true;
    child.kill('SIGKILL');
  };

  return {
    get leaving() {
      return leaving;
    },
    async run(request, context, limits) {
      clearTimeout(idleTimer);
      child.ref();
      child.channel?.ref();
      stderrTail = '';
      try {
        return await runTask({ child, exit, kill, stderrTail: () => stderrTail }, request, context, limits);
      } finally {
        letParentExit(child);
      }
    },
    preload(moduleUrls) {
      const message: ToRenderProcess = { type: 'preload', moduleUrls };
      child.send(message, () => undefined);
    },
    kill,
    letParentExit: () => letParentExit(child),
    onIdleFor(idleMs, then) {
      idleTimer = setTimeout(then, idleMs);
      idleTimer.unref();
    },
    async end() {
      clearTimeout(idleTimer);
      child.ref();
      kill();
      await new Promise<string>((resolve) => void exit.onExit(resolve));
    },
  };
}

/** An idle process must not keep a program alive that has nothing else to do. */
function letParentExit(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  if (child.stderr instanceof Socket) child.stderr.unref();
}

/** Ends what a render process started; an ffmpeg must not outlive the process that fed it. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is empty: everything had ended by itself.
  }
}

/** Starts the process as the leader of a group of its own. */
function forkRenderProcess(): ChildProcess {
  return fork(fileURLToPath(resolveEntry('./render-process', import.meta.url)), [], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
    execArgv: [],
    detached: true,
  });
}

interface RunningProcess {
  readonly child: ChildProcess;
  readonly exit: ExitWatch;
  kill(): void;
  stderrTail(): string;
}

function runTask(
  { child, exit, kill, stderrTail }: RunningProcess,
  request: TaskRequest,
  context: RenderContext,
  limits: TaskLimits,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let graceTimer: NodeJS.Timeout | undefined;
    const silenceTimer = setTimeout(kill, limits.silenceLimitMs);
    const send = (message: ToRenderProcess): void => {
      // A process that is gone rejects through its exit; the failed send says nothing new.
      child.send(message, () => undefined);
    };
    const onAbort = (): void => {
      send({ type: 'cancel' });
      graceTimer = setTimeout(kill, limits.cancelGraceMs);
    };
    const onMessage = (message: FromRenderProcess): void => {
      silenceTimer.refresh();
      if (message.type === 'progress') context.onProgress?.(message.progress);
      if (message.type === 'done') settle(() => resolve(message.result));
      if (message.type === 'failed')
        settle(() => reject(context.signal.aborted ? abortError(context.signal) : toError(message)));
    };
    const settle = (how: () => void): void => {
      clearTimeout(graceTimer);
      clearTimeout(silenceTimer);
      context.signal.removeEventListener('abort', onAbort);
      child.off('message', onMessage);
      stopWaiting();
      how();
    };
    context.signal.addEventListener('abort', onAbort, { once: true });
    child.on('message', onMessage);
    send({
      type: 'run',
      ...request,
      heartbeatMs: Math.min(longestHeartbeatMs, limits.silenceLimitMs / heartbeatsPerSilence),
    });
    const stopWaiting = exit.onExit((reason) => settle(() => reject(deathOf(reason, stderrTail(), context.signal))));
  });
}

function deathOf(reason: string, stderrTail: string, signal: AbortSignal): LipsyncError {
  if (signal.aborted) return abortError(signal);
  return new LipsyncError('media_failed', `The render process ended before its work was done (${reason}).`, {
    cause: new Error(stderrTail.trim() || 'it printed nothing'),
  });
}
