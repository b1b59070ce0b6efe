import { createArtifactStore, parseAllowedHosts, type Logger } from '@lipsync/core';
import { configFromEnvironment, type CoreConfig } from '@lipsync/core/config';
import { createLipsyncQueue, type LipsyncQueue } from './program.ts';

const silent: Logger = Object.freeze({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
});

/** What a program has to have in common with the workers: no keys, no models. */
type SharedSettings = Pick<CoreConfig, 'dataDir' | 'outputDir' | 'maxUploadBytes' | 'allowedPrivateHosts'>;

/**
 * The queue for a program: Redis and the folders that the workers use. Folders and limits come from the environment and
 * `.env`; what is given here overrides them. Which providers there are is for the workers to know, one of which plans each
 * job. Throws `request_invalid` when a setting cannot be understood.
 */
export function openLipsyncQueue(
  options: { readonly redisUrl: string; readonly logger?: Logger } & Partial<SharedSettings>,
): LipsyncQueue {
  const { redisUrl, logger = silent, ...overrides } = options;
  const config = { ...configFromEnvironment(), ...overrides };
  return createLipsyncQueue({
    redisUrl,
    logger,
    artifacts: createArtifactStore(config),
    maxInputBytes: config.maxUploadBytes,
    allowedPrivateHosts: parseAllowedHosts(config.allowedPrivateHosts),
  });
}
