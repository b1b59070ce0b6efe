import { resolve } from 'node:path';
import { coreSettings, listSettings, parseSettings, readEnvironment } from '@lipsync/core/config';
import { apiConfigFromEnvironment, apiSettings } from '../../apps/api/src/config.ts';
import { workerSettings, workerStopLimitMs } from '../../apps/worker/src/config.ts';
import type { AppName } from './stack.ts';

export interface StackConfig {
  /** Absolute. */
  readonly dataDir: string;
  /** Absolute. */
  readonly outputDir: string;
  /** If absent, the stack starts its own Redis. */
  readonly redisUrl?: string;
  /** Grace period of the worker, plus the time in which it hands its jobs back. */
  readonly workerGraceMs: number;
}

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
    workerGraceMs: WORKER_SHUTDOWN_GRACE_MS + workerStopLimitMs,
    ...(redisUrl === '' ? {} : { redisUrl }),
  };
}

/** Stands for the private Redis, whose address is known only after its start. */
const anyRedisUrl = 'redis://127.0.0.1:6379';

/**
 * Checks every setting of the service, or of one app, before anything starts, so that all problems are printed once
 * instead of by each process. Throws `request_invalid` with all of them.
 */
export function requireValidSettings(projectDir: string, app?: AppName): void {
  const given = readEnvironment(projectDir);
  const environment = { ...given, REDIS_URL: given.REDIS_URL?.trim() || anyRedisUrl };
  const ofApps = { ...(app === 'api' ? {} : workerSettings), ...(app === 'worker' ? {} : apiSettings) };
  parseSettings({ ...listSettings(), ...ofApps }, environment);
  // What depends on several settings.
  if (app !== 'worker') apiConfigFromEnvironment(environment);
}
