import { z } from 'zod';
import { LipsyncError } from '@lipsync/core';
import {
  configFromEnvironment,
  listOf,
  parseSettings,
  readEnvironment,
  redisUrl,
  text,
  wholeNumber,
  type CoreConfig,
  type Environment,
  type Settings,
} from '@lipsync/core/config';
import type { ApiKey } from './http/access.ts';
import { isLoopbackHost } from './http/loopback.ts';

const apiKey = z.string().transform((value, context): ApiKey => {
  const [, name, secret] = /^([\w.-]{1,64}):(\S+)$/.exec(value) ?? [];
  if (name !== undefined && secret !== undefined) return { name, secret };
  // The value is not repeated: it may be a secret without its name.
  context.addIssue({
    code: 'custom',
    message: 'each key must be name:secret, the name of letters, digits, ".", "_" and "-"',
  });
  return z.NEVER;
});

/** The settings that the API understands beyond those of the core. */
export const apiSettings = {
  PORT: wholeNumber(3000, { minimum: 0, maximum: 65_535 }),
  HOST: text('127.0.0.1'),
  LIPSYNC_API_KEYS: listOf(apiKey, []),
  REDIS_URL: redisUrl(),
} satisfies Settings;

export interface ApiConfig {
  /** 0 takes any free port. */
  readonly port: number;
  readonly host: string;
  readonly keys: readonly ApiKey[];
  readonly redisUrl: string;
  readonly core: CoreConfig;
}

/**
 * The API's settings from the environment. Throws `request_invalid` with a reason for each that cannot be used, and
 * for a host that others can reach while no keys are set.
 */
export function apiConfigFromEnvironment(environment: Environment = readEnvironment()): ApiConfig {
  const values = parseSettings(apiSettings, environment);
  const { HOST: host, LIPSYNC_API_KEYS: keys } = values;
  if (keys.length === 0 && !isLoopbackHost(host)) {
    throw new LipsyncError(
      'request_invalid',
      `HOST: ${host} can be reached by others, so LIPSYNC_API_KEYS must be set (name:secret, comma-separated).`,
    );
  }
  refuseTwins(keys);
  return Object.freeze({
    port: values.PORT,
    host,
    keys,
    redisUrl: values.REDIS_URL,
    core: configFromEnvironment(environment),
  });
}

/** One name or secret twice would make it unclear whose a job is. */
function refuseTwins(keys: readonly ApiKey[]): void {
  const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;
  if (distinct(keys.map(({ name }) => name)) && distinct(keys.map(({ secret }) => secret))) return;
  throw new LipsyncError('request_invalid', 'LIPSYNC_API_KEYS: each name and each secret must be there only once.');
}
