import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { abortError, LipsyncError } from '../errors/index.ts';

/** How long ffmpeg may give no sign of life while we wait for it. */
const defaultIdleLimitMs = 60_000;
/** Between the polite signal and the firm one. */
const killDelayMs = 2_000;
const stderrTailBytes = 8_192;
const yieldingNiceness = 5;

export interface MediaProcessOptions {
  readonly tool: 'ffmpeg' | 'ffprobe';
  /** Without the ones that every run shares. */
  readonly arguments: readonly string[];
  /** Whether we feed the process through its standard input. */
  readonly fed?: boolean;
  /** Whether it gives way to other processes where the processor is scarce: for work that is done ahead of somebody slower. */
  readonly yields?: boolean;
  readonly idleLimitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A running ffmpeg or ffprobe. Whoever starts one awaits `ended` or calls `stop`. */
export interface MediaProcess {
  /** Only there when the process is fed. */
  readonly stdin: Writable | undefined;
  /**
   * Resolves when the process ended well. Rejects with the abort's own error, or `media_failed` whose cause holds the
   * end of what the tool wrote to its standard error; `details.exitCode` is null when a signal ended it.
   */
  readonly ended: Promise<void>;
  /**
   * Waits for something that the process has to do, at most for its idle limit and `extraMs`; then it is ended and
   * `media_failed` thrown. Throws at once when the process ends badly.
   */
  within<T>(work: Promise<T>, extraMs?: number): Promise<T>;
  /** Ends the process, first politely, and resolves when it is gone. Never throws. */
  stop(): Promise<void>;
}

/** One whose output is read as a stream. */
export interface StreamingMediaProcess extends MediaProcess {
  readonly stdout: Readable;
}

/**
 * Starts ffmpeg or ffprobe with an argument array: no shell, no inherited standard input, errors only on its log.
 * Throws the signal's error when it is aborted already; a missing program surfaces through `ended`.
 */
export function startMediaProcess(options: MediaProcessOptions): StreamingMediaProcess {
  const { child, ...process } = start(options, 'pipe');
  const { stdout } = child;
  if (!stdout) throw new LipsyncError('internal', `${options.tool} was started without pipes.`);
  stdout.on('error', () => undefined);
  return { ...process, stdout };
}

/** As `startMediaProcess`, with `output` for the process's standard output; it is closed here. */
export function startMediaProcessInto(output: Socket, options: MediaProcessOptions): MediaProcess {
  try {
    const { stdin, ended, within, stop } = start(options, output);
    return { stdin, ended, within, stop };
  } finally {
    output.destroy();
  }
}

function start(options: MediaProcessOptions, output: 'pipe' | Socket): MediaProcess & { readonly child: ChildProcess } {
  const { tool, signal } = options;
  if (signal?.aborted) throw abortError(signal);
  const child = spawn(tool, [...sharedArguments(tool), ...options.arguments], {
    stdio: [options.fed ? 'pipe' : 'ignore', output, 'pipe'],
    windowsHide: true,
  });
  if (options.yields) lowerPriority(child);
  const { stderr } = child;
  if (!stderr) throw new LipsyncError('internal', `${tool} was started without pipes.`);
  const tail = keepTail(stderr);
  let stalled: LipsyncError | undefined;
  // A broken pipe is no news of its own: the exit code and the tool's last words say why.
  child.stdin?.on('error', () => undefined);

  const stop = stopper(child);
  const onAbort = (): void => void stop();
  signal?.addEventListener('abort', onAbort, { once: true });

  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => reject(startError(tool, cause)));
    child.once('close', (exitCode, exitSignal) => {
      if (signal?.aborted) reject(abortError(signal));
      else if (stalled) reject(stalled);
      else if (exitCode === 0) resolve();
      else reject(exitError(tool, exitCode, exitSignal, tail()));
    });
  }).finally(() => signal?.removeEventListener('abort', onAbort));
  ended.catch(() => undefined);

  const limited = limitedWait(ended, (limitMs) => {
    stalled = new LipsyncError(
      'media_failed',
      `${tool} made no progress for ${Math.round(limitMs / 1000)} s and was stopped. Try again.`,
    );
    void stop();
  });
  const within = <T>(work: Promise<T>, extraMs = 0): Promise<T> =>
    limited(work, (options.idleLimitMs ?? defaultIdleLimitMs) + extraMs);
  return { child, stdin: child.stdin ?? undefined, ended, within, stop };
}

/**
 * Runs a tool to its end and returns what it printed. Throws like `MediaProcess.ended`, and `media_failed` when the
 * output is larger than `maxBytes`.
 */
export async function runMediaTool(options: MediaProcessOptions & { readonly maxBytes: number }): Promise<string> {
  const running = startMediaProcess(options);
  const chunks: Buffer[] = [];
  let size = 0;
  running.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= options.maxBytes) chunks.push(chunk);
    else void running.stop();
  });
  try {
    await running.within(running.ended);
  } catch (error) {
    if (size <= options.maxBytes) throw error;
    throw new LipsyncError('media_failed', `${options.tool} printed more than ${options.maxBytes} bytes.`, {
      cause: error,
    });
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Waiting that ends with the work, with the process when that ends badly, or after a limit. The waits are kept in a set
 * of their own: a reaction on `ended` for each would pile up for as long as the process lives.
 */
function limitedWait(
  ended: Promise<void>,
  onLimit: (limitMs: number) => void,
): <T>(work: Promise<T>, limitMs: number) => Promise<T> {
  const waiting = new Set<(error: unknown) => void>();
  let failure: { readonly error: unknown } | undefined;
  ended.catch((error: unknown) => {
    failure = { error };
    for (const fail of waiting) fail(error);
  });
  return async <T>(work: Promise<T>, limitMs: number): Promise<T> => {
    const { promise: failed, reject } = Promise.withResolvers<never>();
    if (failure) reject(failure.error);
    waiting.add(reject);
    const timer = setTimeout(() => onLimit(limitMs), limitMs);
    try {
      return await Promise.race([work, failed]);
    } finally {
      clearTimeout(timer);
      waiting.delete(reject);
    }
  };
}

/** Threads that it starts from here on inherit it. */
function lowerPriority({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, yieldingNiceness);
  } catch {
    // It has ended already, or the system knows no priorities: both change nothing but speed.
  }
}

function sharedArguments(tool: 'ffmpeg' | 'ffprobe'): readonly string[] {
  return tool === 'ffmpeg'
    ? ['-nostdin', '-hide_banner', '-loglevel', 'error']
    : ['-hide_banner', '-loglevel', 'error'];
}

function keepTail(stream: Readable): () => string {
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrTailBytes);
  });
  stream.on('error', () => undefined);
  return () => tail.toString('utf8').trim();
}

function stopper(child: ChildProcess): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => {
    stopping ??= new Promise<void>((resolve) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
      const firm = setTimeout(() => child.kill('SIGKILL'), killDelayMs);
      child.once('exit', () => {
        clearTimeout(firm);
        resolve();
      });
      child.kill('SIGTERM');
      // Blocked writes and reads of the child return only when our ends of the pipes are gone.
      child.stdin?.destroy();
      child.stdout?.destroy();
    });
    return stopping;
  };
}

function startError(tool: string, cause: Error): LipsyncError {
  const missing = 'code' in cause && cause.code === 'ENOENT';
  return new LipsyncError(
    'media_failed',
    missing
      ? `${tool} is not installed. Install it (for example: apt-get install ffmpeg) and try again.`
      : `${tool} could not be started.`,
    { cause, details: missing ? { missing: tool } : {} },
  );
}

function exitError(
  tool: string,
  exitCode: number | null,
  exitSignal: NodeJS.Signals | null,
  tail: string,
): LipsyncError {
  const how = exitSignal ? `was ended by ${exitSignal}` : `failed with exit code ${exitCode}`;
  return new LipsyncError(
    'media_failed',
    `${tool} ${how}. Try again; if it happens twice, convert the file to MP4 first.`,
    {
      cause: new Error(tail === '' ? `${tool} said nothing` : tail),
      details: { exitCode },
    },
  );
}
