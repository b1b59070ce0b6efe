import { resolve } from 'node:path';
import { coreSettings, parseSettings, readEnvironment } from '@lipsync/core/config';
import { workerSettings } from '../../apps/worker/src/config.ts';

export interface StackConfig {
  /** Absolute. */
  readonly dataDir: string;
  /** Absolute. */
  readonly outputDir: string;
  /** If absent, the stack starts its own Redis. */
  readonly redisUrl?: string;
  /** Grace period of the worker, plus time to kill its child processes. */
  readonly workerGraceMs: number;
}

const killTimeMs = 5000;

/** Reads the settings that the launcher needs. Throws `request_invalid` for invalid settings. */
export function stackConfigFromEnvironment(projectDir: string): StackConfig {
  const environment = readEnvironment(projectDir);
  const { LIPSYNC_DATA_DIR, LIPSYNC_OUTPUT_DIR, WORKER_SHUTDOWN_GRACE_MS } = parseSettings(
    {
      LIPSYNC_DATA_DIR: coreSettings.LIPSYNC_DATA_DIR,
      LIPSYNC_OUTPUT_DIR: coreSettings.LIPSYNC_OUTPUT_DIR,
      WORKER_SHUTDOWN_GRACE_MS: workerSettings.WORKER_SHUTDOWN_GRACE_MS,
    },
    environment,
  );
  const redisUrl = environment.REDIS_URL?.trim() ?? '';
  return {
    dataDir: resolve(projectDir, LIPSYNC_DATA_DIR),
    outputDir: resolve(projectDir, LIPSYNC_OUTPUT_DIR),
    workerGraceMs: WORKER_SHUTDOWN_GRACE_MS + killTimeMs,
    ...(redisUrl === '' ? {} : { redisUrl }),
  };
}
