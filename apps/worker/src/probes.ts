import {
  createProbeListener,
  LipsyncError,
  listen,
  Readiness,
  storageChecks,
  systemClock,
  type ArtifactStore,
  type Logger,
  type ProbeListenerOptions,
} from '@lipsync/core/host';
import type { RedisConnections } from '@lipsync/queue';
import type { WorkerConfig } from './config.ts';

/** Time for open responses to finish at shutdown. */
const stopGraceMs = 500;

export interface Probes {
  /** Call when the worker takes jobs; it is not ready before. */
  started(): void;
  /** Call when the worker stops: it is not ready any more, and stays alive. */
  stopping(): void;
  /** Closes the port. */
  close(): Promise<void>;
}

export interface ProbesOptions {
  /** Null: no port. */
  readonly listener: WorkerConfig['probes'];
  readonly redis: Pick<RedisConnections, 'check'>;
  readonly artifacts: Pick<ArtifactStore, 'health'>;
  readonly metrics: ProbeListenerOptions['metrics'];
  readonly logger: Logger;
}

/** Serves the probes and the metrics of this worker. Throws `request_invalid` when their port is not available. */
export async function startProbes({ listener, redis, artifacts, metrics, logger }: ProbesOptions): Promise<Probes> {
  let takesJobs = false;
  const checkLanes = async (): Promise<void> => {
    if (!takesJobs) throw new LipsyncError('resource_exhausted', 'The worker is starting and takes no jobs yet.');
  };
  const readiness = new Readiness({
    clock: systemClock,
    logger,
    checks: [
      { name: 'redis', check: () => redis.check(), logsItself: true },
      ...storageChecks(artifacts),
      // Every worker starts without them, which is no failure.
      { name: 'lanes', check: checkLanes, logsItself: true },
    ],
  });
  const settings = 'METRICS_HOST, METRICS_PORT';
  const server = listener && (await listen(createProbeListener({ readiness, metrics }), { ...listener, settings }));
  if (server) logger.info({ url: server.url }, 'probes and metrics are served');
  return {
    started: () => void (takesJobs = true),
    stopping: () => readiness.stop(),
    close: async () => server?.stop(stopGraceMs),
  };
}
