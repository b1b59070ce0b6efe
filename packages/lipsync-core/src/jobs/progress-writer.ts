import type { ProgressReport } from '../contract/provider-types.ts';
import type { Clock } from '../contract/ports.ts';

interface StageRange {
  /** Percent of the whole job at which the stage starts and ends. */
  readonly from: number;
  readonly to: number;
  readonly message: string;
}

/** Stages of a job in order; those of a remote provider come before those of a local engine. */
const stages: Readonly<Record<string, StageRange>> = Object.freeze({
  fetching: { from: 0, to: 4, message: 'Fetching the inputs.' },
  probing: { from: 4, to: 6, message: 'Probing the inputs.' },
  listening: { from: 6, to: 10, message: 'Analyzing the speech.' },
  waiting: { from: 10, to: 10, message: 'Waiting for the provider.' },
  preparing: { from: 10, to: 20, message: 'Preparing the upload.' },
  uploading: { from: 20, to: 30, message: 'Uploading to the provider.' },
  downloading: { from: 85, to: 90, message: 'Downloading the take.' },
  loading: { from: 10, to: 12, message: 'Loading the model.' },
  tracking: { from: 12, to: 45, message: 'Tracking the face.' },
  learning: { from: 45, to: 45, message: 'Analyzing the mouth.' },
  rendering: { from: 45, to: 90, message: 'Rendering.' },
  checking: { from: 90, to: 97, message: 'Measuring the quality of the take.' },
  scoring: { from: 45, to: 97, message: 'Measuring the video.' },
  publishing: { from: 97, to: 99, message: 'Publishing the output.' },
});

export interface ProgressUpdate {
  readonly stage: string;
  /** Percent, 0 to 99; only a completed job has 100. */
  readonly progress: number;
  readonly message: string;
}

/** Converts the progress of a stage to the progress of the job. An unknown stage counts as rendering. */
export function toProgressUpdate({ stage, fraction }: ProgressReport): ProgressUpdate {
  const { from, to, message } = stages[stage] ?? { from: 45, to: 90, message: 'Rendering.' };
  const share = Math.min(1, Math.max(0, fraction));
  return { stage, progress: Math.floor(from + (to - from) * share), message };
}

export interface ProgressWriterOptions {
  readonly intervalMs: number;
  readonly clock: Clock;
  write(update: ProgressUpdate): Promise<unknown>;
  onError(error: unknown): void;
}

/**
 * Writes progress one update at a time, at most once per `intervalMs` and stage; a new stage is written at once. During
 * a slow write only the latest update is kept.
 */
export class ProgressWriter {
  readonly #options: ProgressWriterOptions;
  #waiting: ProgressUpdate | undefined;
  #writing: Promise<void> | undefined;
  #lastStage = '';
  #lastReportedMs = -Infinity;

  constructor(options: ProgressWriterOptions) {
    this.#options = options;
  }

  report(update: ProgressUpdate): void {
    const { clock, intervalMs } = this.#options;
    const nowMs = clock.nowMs();
    if (update.stage === this.#lastStage && nowMs - this.#lastReportedMs < intervalMs) return;
    this.#lastStage = update.stage;
    this.#lastReportedMs = nowMs;
    this.#waiting = update;
    this.#writing ??= this.#writeAll();
  }

  /** Discards a waiting update and resolves when the current write has ended. */
  async settle(): Promise<void> {
    this.#waiting = undefined;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting) {
      const update = this.#waiting;
      this.#waiting = undefined;
      await this.#options.write(update).catch((error: unknown) => this.#options.onError(error));
    }
    this.#writing = undefined;
  }
}
