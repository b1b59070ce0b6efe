import { z } from 'zod';
import { systemClock } from '../../contract/system-ports.ts';
import { httpUrl, microsFromUsd, text, wholeNumber } from '../../contract/setting-types.ts';
import { LipsyncError } from '../../errors/index.ts';
import { parseAllowedHosts } from '../../net/index.ts';
import { defineProvider, type DoctorCheck } from '../definition.ts';
import { HeygenBalance, quotedMicros } from './heygen-account.ts';
import {
  createHeygenCallbackUrl,
  heygenCallbackPath,
  heygenCallbackTokenParameter,
  verifyCallback,
} from './heygen-callback.ts';
import { parseHeygenEndpoint } from './heygen-http.ts';
import { heygenModes, heygenOptionsSchema } from './heygen-options.ts';
import { heygenFacts, HeygenProvider } from './heygen-provider.ts';

/** HeyGen's lip-sync API, version 3. */
export const heygenDefinition = defineProvider({
  id: 'heygen',
  kind: 'remote',
  facts: heygenFacts,
  license: 'under your HeyGen contract',
  options: {
    schema: heygenOptionsSchema,
    flags: {
      mode: {
        value: 'mode',
        description: 'speed, or precision for higher quality at a higher price (default: speed)',
      },
    },
    formerFields: { heygenMode: { option: 'mode', schema: z.enum(heygenModes) } },
  },
  settings: {
    HEYGEN_API_KEY: text(''),
    HEYGEN_API_ENDPOINT: httpUrl('https://api.heygen.com'),
    HEYGEN_MAX_CONCURRENT: wholeNumber(5, { minimum: 1, maximum: 10_000 }),
    HEYGEN_POLL_INTERVAL_MS: wholeNumber(5_000, { minimum: 100, maximum: 600_000 }),
    HEYGEN_TIMEOUT_MS: wholeNumber(600_000, { minimum: 1_000, maximum: 86_400_000 }),
    HEYGEN_USD_PER_SECOND_SPEED: microsFromUsd(33_300),
    HEYGEN_USD_PER_SECOND_PRECISION: microsFromUsd(66_700),
  },
  callbackPath: heygenCallbackPath,
  throughput({ mode }) {
    return mode === 'speed'
      ? { key: 'heygen-speed', fixedMs: 60_000, perSecondMs: 1_000 }
      : { key: 'heygen-precision', fixedMs: 120_000, perSecondMs: 3_000 };
  },
  configure(values, { allowedPrivateHosts }) {
    const apiKey = values.HEYGEN_API_KEY === '' ? null : values.HEYGEN_API_KEY;
    const { HEYGEN_API_ENDPOINT: endpoint, HEYGEN_MAX_CONCURRENT: maxConcurrent } = values;
    const microsPerSecond = {
      speed: values.HEYGEN_USD_PER_SECOND_SPEED,
      precision: values.HEYGEN_USD_PER_SECOND_PRECISION,
    };
    const balance = apiKey === null ? null : new HeygenBalance({ apiKey, endpoint, clock: systemClock });
    return {
      missingSetting: apiKey === null ? 'HEYGEN_API_KEY' : null,
      remote: {
        maxConcurrent,
        operationTimeoutMs: values.HEYGEN_TIMEOUT_MS,
        microsPerSecond,
        quote: (durationMs, { mode }) => quotedMicros(durationMs, microsPerSecond[mode]),
      },
      listWarnings: () => (apiKey === null ? [] : parseHeygenEndpoint(endpoint).warnings),
      inspect: async () => ({ balanceMicros: (await balance?.readMicros()) ?? null }),
      diagnose: async () => diagnose({ apiKey, endpoint, maxConcurrent }),
      verifyCallback({ attemptName, query: { [heygenCallbackTokenParameter]: token } }) {
        return apiKey !== null && typeof token === 'string' ? verifyCallback(apiKey, attemptName, token) : undefined;
      },
      create({ renderPool, clock, callbackBaseUrl }) {
        if (apiKey === null) throw new LipsyncError('internal', 'HEYGEN_API_KEY is not set.');
        return new HeygenProvider({
          apiKey,
          endpoint,
          maxConcurrent,
          timeoutMs: values.HEYGEN_TIMEOUT_MS,
          pollIntervalMs: values.HEYGEN_POLL_INTERVAL_MS,
          microsPerSecond,
          renderPool,
          clock,
          allowedPrivateHosts: parseAllowedHosts(allowedPrivateHosts),
          ...(callbackBaseUrl === ''
            ? {}
            : { callbackUrl: (attemptName) => createHeygenCallbackUrl(callbackBaseUrl, apiKey, attemptName) }),
        });
      },
    };
  },
});

interface DiagnosedSettings {
  readonly apiKey: string | null;
  readonly endpoint: string;
  readonly maxConcurrent: number;
}

function diagnose({ apiKey, endpoint, maxConcurrent }: DiagnosedSettings): DoctorCheck {
  const name = 'heygen';
  if (apiKey === null) {
    return {
      name,
      state: 'optional',
      detail: 'not configured',
      advice: 'Set HEYGEN_API_KEY to make videos with HeyGen.',
    };
  }
  try {
    const { url, warnings } = parseHeygenEndpoint(endpoint);
    const detail = `key set; ${url}, at most ${maxConcurrent} operations at once`;
    return { name, state: 'ok', detail, advice: warnings.join(' ') };
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
    return { name, state: 'missing', detail: error.message, advice: 'Correct HEYGEN_API_ENDPOINT, or leave it out.' };
  }
}
