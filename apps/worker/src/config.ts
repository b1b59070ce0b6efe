import { z } from 'zod';
import { queuesOfLane, workerLanes, type Lane, type RetentionAges } from '@lipsync/queue';
import {
  age,
  configFromEnvironment,
  listOf,
  parseSettings,
  port,
  readEnvironment,
  redisUrl,
  text,
  wholeNumber,
  wholeNumberOrAuto,
  type CoreConfig,
  type Environment,
  type Settings,
} from '@lipsync/core/config';
import { countRenderSlots, readMachine } from './render-slots.ts';

const lane = z.string().pipe(z.enum(workerLanes, `must be one of ${workerLanes.join(', ')}`));

/** Time after the grace period in which a stopping worker hands its jobs back and ends its processes and tasks. */
export const workerStopLimitMs = 15_000;

/** Settings of the worker in addition to those of the core. */
export const workerSettings = {
  REDIS_URL: redisUrl(),
  METRICS_PORT: port(),
  METRICS_HOST: text('127.0.0.1'),
  WORKER_LANES: listOf(lane, workerLanes).refine(
    (items) => items.length > 0 && new Set(items).size === items.length,
    'must name at least one lane, and each once',
  ),
  WORKER_FETCH_CONCURRENCY: wholeNumber(32, { minimum: 1, maximum: 1_000 }),
  WORKER_CLOUD_CONCURRENCY: wholeNumber(16, { minimum: 1, maximum: 1_000 }),
  WORKER_RENDER_CONCURRENCY: wholeNumberOrAuto(1, { minimum: 1, maximum: 64 }),
  WORKER_WEBHOOK_CONCURRENCY: wholeNumber(32, { minimum: 1, maximum: 1_000 }),
  WORKER_SEGMENT_MS: wholeNumber(20_000, { minimum: 0, maximum: 3_600_000 }),
  WORKER_SHUTDOWN_GRACE_MS: wholeNumber(10_000, { minimum: 0, maximum: 3_600_000 }),
  QUEUE_LOCK_MS: wholeNumber(30_000, { minimum: 500, maximum: 3_600_000 }),
  QUEUE_STALLED_INTERVAL_MS: wholeNumber(15_000, { minimum: 100, maximum: 3_600_000 }),
  LIPSYNC_RETENTION_INPUTS_MS: age(),
  LIPSYNC_RETENTION_OUTPUTS_MS: age(),
  LIPSYNC_RETENTION_RECORDS_MS: age(),
} satisfies Settings;

export interface WorkerConfig {
  readonly redisUrl: string;
  /** Where the probes of this process are served; null: nowhere. */
  readonly probes: { readonly host: string; readonly port: number } | null;
  /** Lanes that this worker serves, and the maximum number of concurrent jobs in each. */
  readonly lanes: readonly { readonly lane: Lane; readonly concurrency: number }[];
  /** Longer takes are split into segments of about this length; 0: never. */
  readonly segmentMs: number;
  /** Time that running jobs have to finish after a stop signal. */
  readonly shutdownGraceMs: number;
  readonly lockMs: number;
  readonly stalledIntervalMs: number;
  readonly retention: RetentionAges;
  readonly core: CoreConfig;
}

/**
 * Reads the worker's settings from the environment. Throws `request_invalid` with a reason for each invalid setting.
 */
export async function workerConfigFromEnvironment(environment: Environment = readEnvironment()): Promise<WorkerConfig> {
  const values = parseSettings(workerSettings, environment);
  const renders = values.WORKER_RENDER_CONCURRENCY;
  const concurrency: Readonly<Record<Lane, number>> = {
    fetch: values.WORKER_FETCH_CONCURRENCY,
    cloud: values.WORKER_CLOUD_CONCURRENCY,
    render: renders === 'auto' ? countRenderSlots(await readMachine()) : renders,
    webhook: values.WORKER_WEBHOOK_CONCURRENCY,
  };
  return Object.freeze({
    redisUrl: values.REDIS_URL,
    probes: values.METRICS_PORT === null ? null : { host: values.METRICS_HOST, port: values.METRICS_PORT },
    lanes: values.WORKER_LANES.flatMap((name) => queuesOfLane[name]).map((name) => ({
      lane: name,
      concurrency: concurrency[name],
    })),
    segmentMs: values.WORKER_SEGMENT_MS,
    shutdownGraceMs: values.WORKER_SHUTDOWN_GRACE_MS,
    lockMs: values.QUEUE_LOCK_MS,
    stalledIntervalMs: values.QUEUE_STALLED_INTERVAL_MS,
    retention: Object.freeze({
      inputsMs: values.LIPSYNC_RETENTION_INPUTS_MS,
      outputsMs: values.LIPSYNC_RETENTION_OUTPUTS_MS,
      recordsMs: values.LIPSYNC_RETENTION_RECORDS_MS,
    }),
    core: configFromEnvironment(environment),
  });
}
