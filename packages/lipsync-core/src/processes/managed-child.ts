import { fork, spawn, type ChildProcess, type Serializable } from 'node:child_process';
import { Socket } from 'node:net';
import { setPriority } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { abortError, LipsyncError } from '../errors/index.ts';
import { readResidentBytes } from './process-memory.ts';

/** How a child process ended, or why it never started. */
export type ChildExit =
  | { readonly type: 'exited'; readonly exitCode: number }
  | { readonly type: 'signaled'; readonly signal: NodeJS.Signals }
  | { readonly type: 'spawn_failed'; readonly error: Error };

const stopBudgetMs = 5_000;

/**
 * Time between a request to stop and SIGKILL, per level. A stop travels from the render pool through a render process
 * to its ffmpeg processes. Both limits derive from one budget, so the inner one always expires first and leaves the
 * outer level time to delete partial files and to report: a program that ignores SIGTERM must not cost the warm
 * process.
 */
export const stopGraceMs = { renderProcess: stopBudgetMs, program: stopBudgetMs / 10 } as const;

/** Reported when neither an exit code nor a signal is known: not a success. */
const unknownExitCode = -1;

const stderrTailBytes = 8_192;

interface CommonOptions {
  /** Stops the child with the default grace period when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** A program from `PATH`, started with an argument array and without a shell. */
export interface ProgramOptions extends CommonOptions {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly stdin?: 'ignore' | 'pipe';
  /** A socket becomes the child's standard output; the caller destroys its own handle. */
  readonly stdout?: 'pipe' | Socket;
  /** Added to the scheduling priority of the child, 0 to 19; higher values yield to other processes. */
  readonly niceness?: number;
}

/**
 * A Node module with an IPC channel. It leads its own process group, so Ctrl-C in a terminal reaches only the parent.
 */
export interface ModuleOptions extends CommonOptions {
  readonly entry: URL;
  readonly arguments?: readonly string[];
  /** Variables besides those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * One child process: bounded stderr tail, graceful stop with a deadline, typed exit reason. The starter awaits `exited`
 * or calls `stop` or `kill`. When a child with its own process group ends, the rest of the group is killed.
 */
export class ManagedChild {
  readonly #child: ChildProcess;
  readonly #leadsGroup: boolean;
  readonly #exitListeners = new Set<(exit: ChildExit) => void>();
  readonly #exited = Promise.withResolvers<ChildExit>();
  readonly #closed = Promise.withResolvers<ChildExit>();
  #stderrTail: Buffer = Buffer.alloc(0);
  #exit: ChildExit | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  #isStopping = false;

  private constructor(child: ChildProcess, leadsGroup: boolean, signal: AbortSignal | undefined) {
    this.#child = child;
    this.#leadsGroup = leadsGroup;
    child.on('error', (error) => {
      // Node also emits `error` for a failed signal or message; only a child without a process id never started.
      if (child.pid === undefined) this.#end({ type: 'spawn_failed', error });
    });
    if (!child.stderr) throw noPipes();
    const onAbort = (): void => void this.stop();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.onExit(() => signal?.removeEventListener('abort', onAbort));
    child.once('exit', (exitCode, exitSignal) => this.#end(toChildExit(exitCode, exitSignal)));
    child.once('close', () => this.#exit && this.#closed.resolve(this.#exit));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderrTail = Buffer.concat([this.#stderrTail, chunk]).subarray(-stderrTailBytes);
    });
    // A broken pipe is a consequence of the exit, which carries the reason.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => undefined);
  }

  /**
   * Starts a program. Throws the abort error of an aborted signal and `resource_exhausted`; a missing program surfaces
   * as `spawn_failed`.
   */
  static startProgram(options: ProgramOptions): ManagedChild {
    if (options.signal?.aborted) throw abortError(options.signal);
    const child = spawn(options.file, options.arguments, {
      stdio: [options.stdin ?? 'ignore', options.stdout ?? 'pipe', 'pipe'],
      windowsHide: true,
    });
    if (options.niceness !== undefined) lowerPriority(child, options.niceness);
    return new ManagedChild(child, false, options.signal);
  }

  /** Starts a Node module. Throws like `startProgram`. */
  static startModule(options: ModuleOptions): ManagedChild {
    if (options.signal?.aborted) throw abortError(options.signal);
    const child = fork(fileURLToPath(options.entry), options.arguments ?? [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      execArgv: [],
      detached: true,
      // oxlint-disable-next-line node/no-process-env -- passed on, not read
      ...(options.environment && { env: { ...process.env, ...options.environment } }),
    });
    return new ManagedChild(child, true, options.signal);
  }

  get stdin(): Writable | undefined {
    return this.#child.stdin ?? undefined;
  }

  get stdout(): Readable | undefined {
    return this.#child.stdout ?? undefined;
  }

  /** Memory of the process itself, without its children; 0 when it has ended or the system has no /proc. */
  async residentBytes(): Promise<number> {
    const { pid } = this.#child;
    return pid === undefined ? 0 : readResidentBytes(pid);
  }

  /** The last few kilobytes that the child wrote to standard error, trimmed. */
  get stderrTail(): string {
    return this.#stderrTail.toString('utf8').trim();
  }

  clearStderrTail(): void {
    this.#stderrTail = Buffer.alloc(0);
  }

  /** Resolves when the process has ended. Never rejects. */
  get exited(): Promise<ChildExit> {
    return this.#exited.promise;
  }

  /**
   * Resolves when the process has ended and its output has been read. After `stop` or `kill` it does not wait for the
   * output, which a grandchild could keep open. Never rejects.
   */
  get closed(): Promise<ChildExit> {
    return this.#closed.promise;
  }

  /**
   * Calls `listener` once when the process has ended, in a microtask if it already has. Returns a function that removes
   * the listener: a child that outlives many tasks must not retain references to finished ones.
   */
  onExit(listener: (exit: ChildExit) => void): () => void {
    this.#exitListeners.add(listener);
    if (this.#exit) queueMicrotask(() => this.#notifyExit());
    return () => void this.#exitListeners.delete(listener);
  }

  /** Subscribes to IPC messages; returns the function that unsubscribes. */
  onMessage(listener: (message: never) => void): () => void {
    // `as`: the listener declares the type of the messages that its module sends.
    const untyped = listener as (message: unknown) => void;
    this.#child.on('message', untyped);
    return () => void this.#child.off('message', untyped);
  }

  /** Sends an IPC message. A message to a child that has ended is dropped; its exit is reported instead. */
  send(message: Serializable): void {
    this.#child.send(message, () => undefined);
  }

  /** Sends SIGTERM, then SIGKILL after `graceMs`. Resolves when the process has ended; safe to call repeatedly. */
  stop(graceMs: number = stopGraceMs.program): Promise<ChildExit> {
    if (this.#exit || this.#isStopping || this.#child.pid === undefined) return this.exited;
    this.#isStopping = true;
    this.#killTimer = setTimeout(() => void this.kill(), graceMs);
    this.#child.kill('SIGTERM');
    // A child that is blocked on a pipe continues only when our end is closed.
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    return this.exited;
  }

  /** Sends SIGKILL to the process, and to its group if it leads one. Resolves when the process has ended. */
  kill(): Promise<ChildExit> {
    // The rest of the group was killed at the exit. By now, the system may have given its id to another process.
    if (this.#exit) return this.exited;
    this.#isStopping = true;
    this.#child.kill('SIGKILL');
    this.#killGroup();
    return this.exited;
  }

  /** Keeps the parent's event loop running until the child ends; the default. */
  ref(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  /** Allows the parent to exit while the child is idle. */
  unref(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    if (this.#child.stderr instanceof Socket) this.#child.stderr.unref();
  }

  #end(exit: ChildExit): void {
    if (this.#exit) return;
    this.#exit = exit;
    clearTimeout(this.#killTimer);
    this.#killGroup();
    this.#exited.resolve(exit);
    if (exit.type === 'spawn_failed' || this.#isStopping) this.#closed.resolve(exit);
    this.#notifyExit();
  }

  #notifyExit(): void {
    if (!this.#exit) return;
    for (const listener of this.#exitListeners) listener(this.#exit);
    this.#exitListeners.clear();
  }

  #killGroup(): void {
    const { pid } = this.#child;
    if (!this.#leadsGroup || pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // The group is empty.
    }
  }
}

/** A short description of an exit for error messages: `exit code 1`, `SIGKILL`, `spawn ffmpeg ENOENT`. */
export function describeExit(exit: ChildExit): string {
  switch (exit.type) {
    case 'exited':
      return `exit code ${exit.exitCode}`;
    case 'signaled':
      return exit.signal;
    case 'spawn_failed':
      return exit.error.message;
  }
}

/**
 * Runs a short program to its end and returns its standard output as text; undefined when it fails, is not installed,
 * or exceeds `timeoutMs`.
 */
export async function readProgramOutput(
  file: string,
  programArguments: readonly string[],
  timeoutMs: number,
): Promise<string | undefined> {
  const child = ManagedChild.startProgram({ file, arguments: programArguments });
  const timer = setTimeout(() => void child.kill(), timeoutMs);
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const exit = await child.closed;
  clearTimeout(timer);
  return exit.type === 'exited' && exit.exitCode === 0 ? Buffer.concat(chunks).toString('utf8') : undefined;
}

function toChildExit(exitCode: number | null, signal: NodeJS.Signals | null): ChildExit {
  return signal === null ? { type: 'exited', exitCode: exitCode ?? unknownExitCode } : { type: 'signaled', signal };
}

/** Node creates no pipes for a child when the limit of open files is reached. */
function noPipes(): LipsyncError {
  return new LipsyncError(
    'resource_exhausted',
    'A process cannot be started: too many files are open. Raise the limit of open files, or run fewer jobs at once, then try again.',
  );
}

/** Applies to threads that the child starts later; failure affects only speed. */
function lowerPriority({ pid }: ChildProcess, niceness: number): void {
  try {
    if (pid !== undefined) setPriority(pid, niceness);
  } catch {
    // The process has already ended, or the system does not support priorities.
  }
}
