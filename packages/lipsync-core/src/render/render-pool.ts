import { fork, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abortError, LipsyncError } from '../errors/index.ts';
import type { ProgressReport } from '../providers/provider.ts';
import type { FromRenderProcess, ToRenderProcess } from './render-messages.ts';
import type { RenderTask, RenderTaskResults } from './render-tasks.ts';

export interface RenderPoolOptions {
  /** Processes that stay warm, waiting for the next task, at most. */
  readonly keepWarm: number;
  /** How long a process waits for the next task before it is let go. */
  readonly idleMs: number;
  /** How long a canceled task may take to clean up before its process is killed. */
  readonly cancelGraceMs: number;
  /** A process that reports nothing for so long while it has a task is taken to hang and is killed. */
  readonly silenceLimitMs: number;
}

export interface RenderContext {
  readonly signal: AbortSignal;
  onProgress?(progress: ProgressReport): void;
}

/** Runs render tasks in processes of their own, so that pictures are never worked on where a queue's lock is kept. */
export interface RenderPool {
  /** Resolves with the task's result; throws its `LipsyncError`, or `media_failed` when the process died. */
  run<Task extends RenderTask>(task: Task, context: RenderContext): Promise<RenderTaskResults[Task['kind']]>;
  /** Ends every process, running tasks included. */
  close(): Promise<void>;
}

const maxStderrCharacters = 4_000;

export function createRenderPool(options: RenderPoolOptions): RenderPool {
  const idle: RenderProcess[] = [];
  const all = new Set<RenderProcess>();

  function take(): RenderProcess {
    const warm = idle.pop();
    if (warm) return warm;
    const started = startRenderProcess(() => forget(started));
    all.add(started);
    return started;
  }

  function forget(gone: RenderProcess): void {
    all.delete(gone);
    const index = idle.indexOf(gone);
    if (index >= 0) idle.splice(index, 1);
  }

  function giveBack(used: RenderProcess): void {
    if (!all.has(used)) return;
    if (idle.length >= options.keepWarm) return used.kill();
    idle.push(used);
    used.killAfter(options.idleMs);
  }

  return {
    async run<Task extends RenderTask>(task: Task, context: RenderContext) {
      if (context.signal.aborted) throw abortError(context.signal);
      const process = take();
      try {
        const result = await process.run(task, context, options);
        // The process answers a task with the result type that RenderTaskResults lists for its kind.
        return result as RenderTaskResults[Task['kind']];
      } finally {
        giveBack(process);
      }
    },
    async close() {
      await Promise.all([...all].map((process) => process.end()));
    },
  };
}

type TaskLimits = Pick<RenderPoolOptions, 'cancelGraceMs' | 'silenceLimitMs'>;

interface RenderProcess {
  run(task: RenderTask, context: RenderContext, limits: TaskLimits): Promise<unknown>;
  kill(): void;
  killAfter(idleMs: number): void;
  end(): Promise<void>;
}

function startRenderProcess(onGone: () => void): RenderProcess {
  const child = forkRenderProcess();
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once('error', (error) => resolve(error.message));
  });
  void exited.then(() => {
    killGroup(child);
    onGone();
  });
  let stderrTail = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderrTail = (stderrTail + chunk.toString()).slice(-maxStderrCharacters);
  });
  let idleTimer: NodeJS.Timeout | undefined;
  const kill = (): void => void child.kill('SIGKILL');

  return {
    async run(task, context, limits) {
      clearTimeout(idleTimer);
      child.ref();
      child.channel?.ref();
      stderrTail = '';
      try {
        return await runTask(child, exited, task, context, limits, () => stderrTail);
      } finally {
        letParentExit(child);
      }
    },
    kill,
    killAfter(idleMs) {
      idleTimer = setTimeout(kill, idleMs);
      idleTimer.unref();
    },
    async end() {
      clearTimeout(idleTimer);
      child.ref();
      kill();
      await exited;
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

/** Starts the process as the leader of a group of its own. The same file runs from source and from the build; only its extension differs. */
function forkRenderProcess(): ChildProcess {
  const here = fileURLToPath(import.meta.url);
  const entry = fileURLToPath(new URL(`./render-process${extname(here)}`, import.meta.url));
  return fork(entry, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced', execArgv: [], detached: true });
}

function runTask(
  child: ChildProcess,
  exited: Promise<string>,
  task: RenderTask,
  context: RenderContext,
  limits: TaskLimits,
  stderrTail: () => string,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const kill = (): void => void child.kill('SIGKILL');
    let graceTimer: NodeJS.Timeout | undefined;
    const silenceTimer = setTimeout(kill, limits.silenceLimitMs);
    const send = (message: ToRenderProcess): void => {
      // A process that is gone rejects through `exited`; the failed send says nothing new.
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
      if (message.type === 'failed') settle(() => reject(failureOf(message, context.signal)));
    };
    const settle = (how: () => void): void => {
      clearTimeout(graceTimer);
      clearTimeout(silenceTimer);
      context.signal.removeEventListener('abort', onAbort);
      child.off('message', onMessage);
      how();
    };
    context.signal.addEventListener('abort', onAbort, { once: true });
    child.on('message', onMessage);
    void exited.then((reason) => settle(() => reject(deathOf(reason, stderrTail(), context.signal))));
    send({ type: 'run', task });
  });
}

function failureOf(message: Extract<FromRenderProcess, { type: 'failed' }>, signal: AbortSignal): LipsyncError {
  if (signal.aborted) return abortError(signal);
  const cause = new Error(message.message);
  cause.stack = message.stack;
  return new LipsyncError(message.code, message.message, { cause });
}

function deathOf(reason: string, stderrTail: string, signal: AbortSignal): LipsyncError {
  if (signal.aborted) return abortError(signal);
  return new LipsyncError('media_failed', `The render process ended before its work was done (${reason}).`, {
    cause: new Error(stderrTail.trim() || 'it printed nothing'),
  });
}
