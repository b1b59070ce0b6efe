import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { abortError, LipsyncError, type LipsyncErrorOptions } from '../errors/index.ts';
import { describeExit, ManagedChild, type ChildExit } from '../processes/managed-child.ts';

export type MediaTool = 'ffmpeg' | 'ffprobe';

const defaultIdleLimitMs = 60_000;
const backgroundNiceness = 5;

export interface MediaProcessOptions {
  readonly tool: MediaTool;
  /** In addition to the arguments that every run shares. */
  readonly arguments: readonly string[];
  /** Opens standard input as a pipe. */
  readonly fed?: boolean;
  /** Receives standard output in place of a pipe; closed here once the process has it. */
  readonly output?: Socket;
  /** Lowers the scheduling priority, for work that runs ahead of a slower consumer. */
  readonly background?: boolean;
  /** Longest time without progress while the caller waits; one minute by default. */
  readonly idleLimitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What ffmpeg prints when the system, not the file, is at fault. */
const exhaustion = /Cannot allocate memory|No space left on device|Too many open files|Input\/output error/;

const unacceptedFormat = /^\[([\w,]+) @ [^\]]*\] Format not on whitelist/m;

/** ffmpeg or ffprobe ended with a failure. The cause holds the end of its standard error. */
class MediaToolError extends LipsyncError {
  /** Whether the tool ran to its end and rejected its input, as opposed to being killed, missing or out of memory. */
  readonly rejectedInput: boolean;
  /** ffmpeg's name of the format of a file that was rejected only because that format is not accepted. */
  readonly unacceptedFormat: string | undefined;

  constructor(message: string, exit: ChildExit, { log, ...options }: LipsyncErrorOptions & { readonly log: string }) {
    const exitCode = exit.type === 'exited' ? exit.exitCode : null;
    super('media_failed', message, { ...options, details: { exitCode } });
    this.name = 'MediaToolError';
    this.rejectedInput = exit.type === 'exited' && !exhaustion.test(log);
    this.unacceptedFormat = unacceptedFormat.exec(log)?.[1];
  }
}

/**
 * A running ffmpeg or ffprobe: argument array, no shell, no inherited standard input, only errors in its log. The owner
 * awaits `ended` or calls `stop`. The constructor throws the abort error of an aborted signal.
 */
export class MediaProcess {
  /**
   * Resolves when the tool succeeded. Rejects with the abort error, `media_failed` for a stalled or missing tool, or
   * `MediaToolError`.
   */
  readonly ended: Promise<void>;
  readonly #tool: MediaTool;
  readonly #child: ManagedChild;
  readonly #signal: AbortSignal | undefined;
  readonly #idleLimitMs: number;
  /** One rejection function per current wait. Reactions on `ended` would accumulate until the process ends. */
  readonly #waits = new Set<(error: unknown) => void>();
  #failure: { readonly error: unknown } | undefined;
  #stalled: LipsyncError | undefined;

  constructor(options: MediaProcessOptions) {
    this.#tool = options.tool;
    this.#signal = options.signal;
    this.#idleLimitMs = options.idleLimitMs ?? defaultIdleLimitMs;
    try {
      this.#child = ManagedChild.startProgram({
        file: options.tool,
        arguments: [...sharedArguments[options.tool], ...options.arguments],
        stdin: options.fed ? 'pipe' : 'ignore',
        ...(options.output && { stdout: options.output }),
        ...(options.background && { niceness: backgroundNiceness }),
        signal: options.signal,
      });
    } finally {
      options.output?.destroy();
    }
    this.ended = this.#child.closed.then((exit) => this.#settle(exit));
    this.ended.catch((error: unknown) => {
      this.#failure = { error };
      for (const reject of this.#waits) reject(error);
    });
  }

  /** Undefined unless the process is fed. */
  get stdin(): Writable | undefined {
    return this.#child.stdin;
  }

  /** The last few kilobytes of standard error. */
  get log(): string {
    return this.#child.stderrTail;
  }

  /** Throws `internal` when the output goes elsewhere. */
  get stdout(): Readable {
    const { stdout } = this.#child;
    if (!stdout) throw new LipsyncError('internal', `The output of ${this.#tool} is not a pipe of this process.`);
    return stdout;
  }

  /**
   * Waits for `work` that depends on progress of the process, at most its idle limit plus `extraMs`; then the process
   * is stopped and `media_failed` thrown. Throws as soon as the process fails.
   */
  async within<T>(work: Promise<T>, extraMs = 0): Promise<T> {
    const { promise: failed, reject } = Promise.withResolvers<never>();
    if (this.#failure) reject(this.#failure.error);
    this.#waits.add(reject);
    const timer = setTimeout(() => this.#onStall(this.#idleLimitMs + extraMs), this.#idleLimitMs + extraMs);
    try {
      return await Promise.race([work, failed]);
    } finally {
      clearTimeout(timer);
      this.#waits.delete(reject);
    }
  }

  /** Stops the process with SIGTERM, then SIGKILL, and resolves when it has ended. Never throws. */
  async stop(): Promise<void> {
    await this.#child.stop();
  }

  #onStall(limitMs: number): void {
    this.#stalled ??= new LipsyncError(
      'media_failed',
      `${this.#tool} made no progress for ${Math.round(limitMs / 1000)} s and was stopped. Try again.`,
    );
    void this.stop();
  }

  #settle(exit: ChildExit): void {
    if (this.#signal?.aborted) throw abortError(this.#signal);
    if (this.#stalled) throw this.#stalled;
    if (exit.type === 'exited' && exit.exitCode === 0) return;
    throw toolError(this.#tool, exit, this.#child.stderrTail);
  }
}

/**
 * Runs a tool to its end and returns its standard output. Throws the errors of `MediaProcess.ended`, and `media_failed`
 * when the output is larger than `maxBytes`.
 */
export async function runMediaTool(options: MediaProcessOptions & { readonly maxBytes: number }): Promise<string> {
  const running = new MediaProcess(options);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  running.stdout.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= options.maxBytes) chunks.push(chunk);
    else void running.stop();
  });
  try {
    await running.within(running.ended);
  } catch (error) {
    if (sizeBytes <= options.maxBytes) throw error;
    throw new LipsyncError('media_failed', `${options.tool} printed more than ${options.maxBytes} bytes.`, {
      cause: error,
    });
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Whether a media tool ran to its end and rejected the file, which therefore is at fault. */
export function isInputRejection(error: unknown): boolean {
  return error instanceof MediaToolError && error.rejectedInput;
}

/** The format of a file that was rejected because the format is not accepted; undefined for other errors. */
export function unacceptedFormatOf(error: unknown): string | undefined {
  return error instanceof MediaToolError ? error.unacceptedFormat : undefined;
}

const sharedArguments: Readonly<Record<MediaTool, readonly string[]>> = {
  ffmpeg: ['-nostdin', '-hide_banner', '-loglevel', 'error'],
  ffprobe: ['-hide_banner', '-loglevel', 'error'],
};

function toolError(tool: MediaTool, exit: ChildExit, stderrTail: string): LipsyncError {
  if (exit.type === 'spawn_failed') {
    const isMissing = 'code' in exit.error && exit.error.code === 'ENOENT';
    const message = isMissing
      ? `${tool} is not installed. Install it (Debian and Ubuntu: sudo apt-get install ffmpeg).`
      : `${tool} cannot be started. Try again.`;
    return new LipsyncError('media_failed', message, {
      cause: exit.error,
      details: isMissing ? { missing: tool } : {},
    });
  }
  return new MediaToolError(
    `${tool} failed (${describeExit(exit)}). Try again; if it fails again, convert the file to MP4 first.`,
    exit,
    { log: stderrTail, cause: new Error(stderrTail === '' ? `${tool} printed nothing` : stderrTail) },
  );
}

export interface ToolVersions {
  /** Version, or null if the tool is not installed or does not respond. */
  readonly ffmpeg: string | null;
  readonly ffprobe: string | null;
}

/** Returns the versions of the installed media tools. Throws only the abort error. */
export async function getToolVersions(signal?: AbortSignal): Promise<ToolVersions> {
  const [ffmpeg, ffprobe] = await Promise.all([getToolVersion('ffmpeg', signal), getToolVersion('ffprobe', signal)]);
  return { ffmpeg, ffprobe };
}

async function getToolVersion(tool: 'ffmpeg' | 'ffprobe', signal?: AbortSignal): Promise<string | null> {
  try {
    const text = await runMediaTool({ tool, arguments: ['-version'], maxBytes: 65_536, idleLimitMs: 10_000, signal });
    return /version (\S+)/.exec(text)?.[1] ?? null;
  } catch (error) {
    if (signal?.aborted) throw error;
    return null;
  }
}
