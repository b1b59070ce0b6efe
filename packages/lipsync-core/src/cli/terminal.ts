import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { WriteStream } from 'node:tty';
import { SingleBar } from 'cli-progress';
import { abortError, LipsyncError } from '../errors/index.ts';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';

/** Where a command writes: results to stdout, everything else to stderr. */
export interface Terminal {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: WriteStream | NodeJS.WritableStream;
  /** Where answers come from; without it, or if it is no terminal, a command cannot ask. */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
}

/**
 * Asks a question on stderr and returns whether the answer is yes; null without a terminal. Throws the abort error
 * of the signal.
 */
export async function confirm(
  question: string,
  { stdin, stderr }: Terminal,
  signal: AbortSignal,
): Promise<boolean | null> {
  if (!stdin?.isTTY) return null;
  // Not `terminal: true`: the interface would take Ctrl-C for itself.
  const lines = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const ended = new Promise<string>((resolve) => void lines.once('close', () => resolve('')));
    const answer = await Promise.race([lines.question(`${question} [y/N] `, { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    lines.close();
  }
}

/** Writes one line. */
export function writeLine(stream: NodeJS.WritableStream, line: string): void {
  stream.write(`${line}\n`);
}

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * A signal that fires when the user interrupts the program, so that it can clean up. A second interruption ends the
 * program at once. Call `end` when nothing is left to stop.
 */
export function interruptSignal(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const end = (): void => {
    for (const name of interruptions) process.off(name, stop);
  };
  const stop = (): void => {
    // Without listeners the next interruption has its default effect.
    end();
    controller.abort(new LipsyncError('canceled', 'Interrupted.'));
  };
  for (const name of interruptions) process.on(name, stop);
  return { signal: controller.signal, end };
}

/** An interruption after which the user may interrupt again to choose something else. */
export interface Interrupts {
  readonly signal: AbortSignal;
  /** Returns whether Ctrl-C is pressed once more within `ms` after it ended the signal. */
  isPressedAgain(ms: number): Promise<boolean>;
  end(): void;
}

/** Like `interruptSignal`, for commands that leave work running elsewhere. A third interruption ends the program. */
export function createInterrupts(): Interrupts {
  const controller = new AbortController();
  const again = Promise.withResolvers<boolean>();
  let isKey = false;
  const end = (): void => {
    for (const name of interruptions) process.off(name, stop);
  };
  const stop = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      end();
      return again.resolve(true);
    }
    isKey = name === 'SIGINT';
    controller.abort(new LipsyncError('canceled', 'Interrupted.'));
  };
  for (const name of interruptions) process.on(name, stop);
  return {
    signal: controller.signal,
    isPressedAgain: (ms) => {
      // A terminal that was closed sends no more keys.
      if (!isKey) return Promise.resolve(false);
      return Promise.race([again.promise, delay(ms, false)]);
    },
    end,
  };
}

/** Shows the progress of a job: a live bar in a terminal, a line per stage and 20 % elsewhere. */
export interface ProgressDisplay {
  show(update: ProgressUpdate): void;
  /** Moves the cursor to a new line. */
  end(): void;
}

/** `subject` is shown where several displays follow one another, such as the name of a file. */
export function createProgressDisplay(stream: Terminal['stderr'], subject?: string): ProgressDisplay {
  const prefix = subject === undefined ? '' : `${subject} · `;
  return 'isTTY' in stream && stream.isTTY ? createBar(stream, prefix) : createLines(stream, prefix);
}

function createBar(stream: NodeJS.WritableStream, prefix: string): ProgressDisplay {
  const startedMs = performance.now();
  const bar = new SingleBar({
    stream,
    hideCursor: true,
    clearOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    format: '{bar} {percentage}% · {prefix}{stage} · {left}',
    gracefulExit: false,
  });
  let progress = 0;
  bar.start(100, 0, { prefix, stage: 'starting', left: '' });
  return {
    show(update) {
      progress = Math.max(progress, update.progress);
      bar.update(progress, { stage: update.stage, left: timeLeft(progress, performance.now() - startedMs) });
    },
    end: () => bar.stop(),
  };
}

/** Steps of progress within a stage that are worth a line. */
const lineStepPercent = 20;

function createLines(stream: NodeJS.WritableStream, prefix: string): ProgressDisplay {
  let lastStage = '';
  let lastProgress = 0;
  return {
    show({ stage, progress }) {
      if (stage === lastStage && progress < lastProgress + lineStepPercent) return;
      lastStage = stage;
      lastProgress = Math.max(lastProgress, progress);
      writeLine(stream, `${prefix}${lastProgress}% ${stage}`);
    },
    end: () => undefined,
  };
}

/** Extrapolates the time so far; the first few percent are too noisy for an estimate. */
function timeLeft(progress: number, elapsedMs: number): string {
  if (progress < 5) return 'estimating';
  const leftS = Math.ceil((elapsedMs * (100 - progress)) / progress / 1000);
  return leftS >= 60 ? `${Math.floor(leftS / 60)} min ${leftS % 60} s left` : `${leftS} s left`;
}
