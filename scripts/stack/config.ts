import { resolve } from 'node:path';
import { coreSettings, parseSettings, readEnvironment } from '@lipsync/core/config';
import { workerSettings } from '../../apps/worker/src/config.ts';

export interface StackConfig {
  /** Absolute. */
  readonly dataDir: string;
  /** Absolute. */
  readonly outputDir: string;
  /** Absent: the stack starts a Redis of its own. */
  readonly redisUrl?: string;
  /** The worker's own limit and a little more, in which it kills what is still running. */
  readonly workerGraceMs: number;
}

const lastGraspMs = 5000;

/** What the launcher itself must know of the settings. Throws `request_invalid` for settings that cannot be used. */
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
    workerGraceMs: WORKER_SHUTDOWN_GRACE_MS + lastGraspMs,
    ...(redisUrl === '' ? {} : { redisUrl }),
  };
}
