import { acceptedAtMs, isTerminal, type JobRecord } from '@lipsync/core/host';
import { Histogram, type Registry } from 'prom-client';

const runBucketsSeconds = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 3_600];
const waitBucketsSeconds = [0.5, ...runBucketsSeconds];
const factorBuckets = [0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 50];
const labelNames = ['provider', 'device'] as const;

/** Histograms of the jobs that this worker ended, added to its registry. */
export class JobMetrics {
  readonly #wait: Histogram<(typeof labelNames)[number]>;
  readonly #run: Histogram<(typeof labelNames)[number]>;
  readonly #factor: Histogram<(typeof labelNames)[number]>;
  /** The device that each local provider of this worker used last. */
  readonly #devices = new Map<string, string>();

  constructor(registry: Registry) {
    const shared = { labelNames, registers: [registry] };
    this.#wait = new Histogram({
      ...shared,
      name: 'lipsync_job_wait_seconds',
      help: 'Time from the acceptance of a job to its first run, by the provider of its last attempt.',
      buckets: waitBucketsSeconds,
    });
    this.#run = new Histogram({
      ...shared,
      name: 'lipsync_attempt_run_seconds',
      help: 'Time from the start of a successful attempt to its take.',
      buckets: runBucketsSeconds,
    });
    this.#factor = new Histogram({
      ...shared,
      name: 'lipsync_real_time_factor',
      help: 'Time of a successful attempt divided by the length of its take.',
      buckets: factorBuckets,
    });
  }

  noteDevice(provider: string, device: string): void {
    this.#devices.set(provider, device);
  }

  /** Call after each change of a record that this worker stored. */
  readonly observe = (current: JobRecord, next: JobRecord): void => {
    if (next.kind !== 'lipsync' || isTerminal(current.status) || !isTerminal(next.status)) return;
    const attempt = next.attempts.at(-1);
    if (!attempt || next.startedAtMs === null) return;
    const waitMs = next.startedAtMs - acceptedAtMs(next);
    // A retried job keeps the time of its first start.
    if (waitMs >= 0) this.#wait.observe(this.#labelsOf(attempt.provider, next), waitMs / 1_000);
    const successful = next.attempts.findLast(({ outcome }) => outcome === 'succeeded');
    if (!successful || successful.endedAtMs === null || !next.result) return;
    const runMs = successful.endedAtMs - successful.startedAtMs;
    const labels = this.#labelsOf(successful.provider, next);
    this.#run.observe(labels, runMs / 1_000);
    if (next.result.durationMs > 0) this.#factor.observe(labels, runMs / next.result.durationMs);
  };

  #labelsOf(provider: string, { plan }: JobRecord<'lipsync'>) {
    const isRemote = plan?.some((step) => step.provider === provider && step.kind === 'remote') ?? false;
    return { provider, device: isRemote ? 'remote' : (this.#devices.get(provider) ?? 'cpu') };
  }
}
