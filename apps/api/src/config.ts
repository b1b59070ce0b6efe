import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { LipsyncError } from '@lipsync/core/host';
import {
  byteCount,
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
import { anyOrigin } from './http/cors.ts';
import { isLoopbackHost } from './http/loopback.ts';
import type { RequestRates } from './http/rate-limit.ts';

/** A shorter secret can be guessed. */
const minSecretLength = 16;

const apiKey = z.string().transform((value, context): ApiKey => {
  const [, name, secret, scope] = /^([\w.-]{1,64}):(\S+?)(:admin)?$/.exec(value) ?? [];
  if (name !== undefined && secret !== undefined && secret.length >= minSecretLength)
    return { name, secret, isAdmin: scope !== undefined };
  // The message omits the value, which may be a secret without a name.
  const message =
    secret === undefined
      ? 'each key must be name:secret or name:secret:admin, the name of letters, digits, ".", "_" and "-"'
      : `each secret must have at least ${minSecretLength} characters; "openssl rand -hex 16" makes one`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** The origin of a page as browsers send it, or `*`. */
const origin = z.string().transform((value, context) => {
  const url = URL.parse(value);
  if (value === anyOrigin) return value;
  if (url && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return url.origin;
  context.addIssue({ code: 'custom', message: `"${value}" is not an origin such as https://app.example.org` });
  return z.NEVER;
});

/** An address or a subnet such as `10.0.0.0/8`. */
const proxy = z
  .string()
  .refine(isNetwork, { error: 'each entry must be an IP address or a subnet such as 10.0.0.0/8' });

function isNetwork(value: string): boolean {
  const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  const version = isIP(address);
  if (version === 0) return false;
  try {
    new BlockList().addSubnet(address, Number(bits ?? 32), version === 4 ? 'ipv4' : 'ipv6');
    return true;
  } catch {
    return false;
  }
}

const maxRequestsPerMinute = 1_000_000;

/** Settings of the API in addition to those of the core. */
export const apiSettings = {
  PORT: wholeNumber(3000, { minimum: 0, maximum: 65_535 }),
  HOST: text('127.0.0.1'),
  LIPSYNC_API_KEYS: listOf(apiKey, []),
  LIPSYNC_CORS_ORIGINS: listOf(origin, []),
  LIPSYNC_MAX_REQUESTS_PER_MINUTE: wholeNumber(6_000, { minimum: 0, maximum: maxRequestsPerMinute }),
  LIPSYNC_MAX_JOB_REQUESTS_PER_MINUTE: wholeNumber(600, { minimum: 0, maximum: maxRequestsPerMinute }),
  LIPSYNC_MAX_FAILED_LOGINS_PER_MINUTE: wholeNumber(30, { minimum: 0, maximum: maxRequestsPerMinute }),
  LIPSYNC_MAX_BATCH_UPLOAD_BYTES: byteCount(10 * 1024 ** 3),
  LIPSYNC_TRUSTED_PROXIES: listOf(proxy, []),
  REDIS_URL: redisUrl(),
} satisfies Settings;

export interface ApiConfig {
  /** 0 selects any free port. */
  readonly port: number;
  readonly host: string;
  readonly keys: readonly ApiKey[];
  readonly corsOrigins: readonly string[];
  readonly requestsPerMinute: RequestRates;
  /** Limit for the files of one batch together. */
  readonly maxBatchUploadBytes: number;
  /** Addresses and subnets. */
  readonly trustedProxies: readonly string[];
  readonly redisUrl: string;
  readonly core: CoreConfig;
}

/**
 * Reads the API's settings from the environment. Throws `request_invalid` with a reason for each invalid setting, and
 * for a host other than loopback without keys.
 */
export function apiConfigFromEnvironment(environment: Environment = readEnvironment()): ApiConfig {
  const values = parseSettings(apiSettings, environment);
  const { HOST: host, LIPSYNC_API_KEYS: keys } = values;
  if (keys.length === 0 && !isLoopbackHost(host)) {
    throw new LipsyncError(
      'request_invalid',
      `HOST: ${host} is not a loopback address, so LIPSYNC_API_KEYS must be set (name:secret, comma-separated).`,
    );
  }
  if (keys.length === 0 && values.LIPSYNC_CORS_ORIGINS.includes(anyOrigin)) {
    throw new LipsyncError(
      'request_invalid',
      'LIPSYNC_CORS_ORIGINS: * needs LIPSYNC_API_KEYS; without keys any website could use this API through a browser on this machine.',
    );
  }
  refuseDuplicates(keys);
  return Object.freeze({
    port: values.PORT,
    host,
    keys,
    corsOrigins: values.LIPSYNC_CORS_ORIGINS,
    requestsPerMinute: {
      all: values.LIPSYNC_MAX_REQUESTS_PER_MINUTE,
      creating: values.LIPSYNC_MAX_JOB_REQUESTS_PER_MINUTE,
      failedLogins: values.LIPSYNC_MAX_FAILED_LOGINS_PER_MINUTE,
    },
    maxBatchUploadBytes: values.LIPSYNC_MAX_BATCH_UPLOAD_BYTES,
    trustedProxies: values.LIPSYNC_TRUSTED_PROXIES,
    redisUrl: values.REDIS_URL,
    core: configFromEnvironment(environment),
  });
}

/** A duplicate name or secret would make the owner of a job ambiguous. */
function refuseDuplicates(keys: readonly ApiKey[]): void {
  const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;
  if (distinct(keys.map(({ name }) => name)) && distinct(keys.map(({ secret }) => secret))) return;
  throw new LipsyncError('request_invalid', 'LIPSYNC_API_KEYS: each name and each secret must be unique.');
}
