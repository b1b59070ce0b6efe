import type { Clock } from '../contract/ports.ts';
import type { ProgressReport } from '../contract/provider-types.ts';

/** The stages of a job, those of a remote provider before those of an engine here, each with the share of the whole at which it begins and ends, in percent. */
const stages: Readonly<Record<string, { readonly from: number; readonly to: number; readonly message: string }>> =
  Object.freeze({
    fetching: { from: 0, to: 4, message: 'Fetching the inputs.' },
    probing: { from: 4, to: 6, message: 'Looking at the inputs.' },
    listening: { from: 6, to: 10, message: 'Listening to the speech.' },
    waiting: { from: 10, to: 10, message: 'Waiting for the provider.' },
    preparing: { from: 10, to: 20, message: 'Preparing what the provider is to get.' },
    uploading: { from: 20, to: 30, message: 'Sending it to the provider.' },
    downloading: { from: 90, to: 97, message: 'Fetching the take.' },
    loading: { from: 10, to: 12, message: 'Loading the model.' },
    tracking: { from: 12, to: 45, message: 'Following the face.' },
    learning: { from: 45, to: 45, message: 'Learning the mouth.' },
    rendering: { from: 45, to: 97, message: 'Rendering.' },
    publishing: { from: 97, to: 99, message: 'Publishing the output.' },
  });

export interface ProgressUpdate {
  readonly stage: string;
  /** 0–99; 100 belongs to completion alone. */
  readonly progress: number;
  readonly message: string;
}

/** Where a report of a stage stands on the way from 0 to 100. A stage that is not in the table counts as rendering. */
export function toProgressUpdate({ stage, fraction }: ProgressReport): ProgressUpdate {
  const { from, to, message } = stages[stage] ?? { from: 45, to: 97, message: 'Rendering.' };
  const share = Math.min(1, Math.max(0, fraction));
  return { stage, progress: Math.floor(from + (to - from) * share), message };
}

export interface ProgressWriter {
  report(progress: ProgressReport): void;
  /** Drops what is not being written yet and resolves when nothing is being written any more. */
  settle(): Promise<void>;
}

/**
 * Writes progress one update at a time and not more often than `intervalMs`, but each new stage at once. While a write
 * takes long only the latest update waits behind it.
 */
export function createProgressWriter(options: {
  readonly intervalMs: number;
  readonly clock: Clock;
  write(update: ProgressUpdate): Promise<unknown>;
  onError(error: unknown): void;
}): ProgressWriter {
  let waiting: ProgressUpdate | undefined;
  let writing: Promise<void> | undefined;
  let lastStage = '';
  let lastReportedMs = -Infinity;

  async function writeAll(): Promise<void> {
    while (waiting) {
      const update = waiting;
      waiting = undefined;
      await options.write(update).catch(options.onError);
    }
    writing = undefined;
  }

  return {
    report(progress) {
      const nowMs = options.clock.nowMs();
      if (progress.stage === lastStage && nowMs - lastReportedMs < options.intervalMs) return;
      lastStage = progress.stage;
      lastReportedMs = nowMs;
      waiting = toProgressUpdate(progress);
      writing ??= writeAll();
    },
    async settle() {
      waiting = undefined;
      await writing;
    },
  };
}
