import { resolve } from 'node:path';
import { z } from 'zod';
import {
  baseUrl,
  byteCount,
  httpUrl,
  integer,
  listOf,
  microsFromUsd,
  millisecondsFromSeconds,
  text,
  wholeNumber,
  yesNo,
} from './setting-types.ts';
import { parseSettings, readEnvironment, settingsFolder, type Environment, type Settings } from './settings.ts';

const gibibyte = 1024 ** 3;

/** The settings that the core understands. */
export const coreSettings = {
  PUBLIC_BASE_URL: baseUrl(),
  LIPSYNC_DATA_DIR: text('./data'),
  LIPSYNC_OUTPUT_DIR: text('./outputs/lipsync'),
  LIPSYNC_MAX_UPLOAD_BYTES: byteCount(2 * gibibyte),
  LIPSYNC_MAX_DURATION_S: millisecondsFromSeconds(3_600_000),
  LIPSYNC_MAX_DIMENSION_PX: wholeNumber(4096, { minimum: 64, maximum: 16_384 }),
  LIPSYNC_ALLOWED_PRIVATE_HOSTS: listOf(z.string(), []),
  HEYGEN_API_KEY: text(''),
  HEYGEN_API_ENDPOINT: httpUrl('https://api.heygen.com'),
  HEYGEN_MAX_CONCURRENT: wholeNumber(5, { minimum: 1, maximum: 10_000 }),
  HEYGEN_POLL_INTERVAL_MS: wholeNumber(5_000, { minimum: 100, maximum: 600_000 }),
  HEYGEN_TIMEOUT_MS: wholeNumber(600_000, { minimum: 1_000, maximum: 86_400_000 }),
  HEYGEN_USD_PER_SECOND_SPEED: microsFromUsd(33_300),
  HEYGEN_USD_PER_SECOND_PRECISION: microsFromUsd(66_700),
  LIPSYNC_GPU_USD_PER_HOUR: microsFromUsd(0),
  LIPSYNC_BUDGET_DAILY_USD: microsFromUsd(null),
  LIPSYNC_BUDGET_MONTHLY_USD: microsFromUsd(null),
  LIPSYNC_BUDGET_USER_DAILY_USD: microsFromUsd(null),
  WAV2LIP_MODEL_PATH: text(''),
  WAV2LIP_WINDOW_START_MS: integer(-40, { minimum: -1000, maximum: 1000 }),
  LIPSYNC_GPU_ENABLED: yesNo(true),
} satisfies Settings;

export interface CoreConfig {
  /** Under which others reach the API; no slash at its end, empty where that is not said. */
  readonly publicBaseUrl: string;
  /** Absolute; inputs, caches, work in progress. */
  readonly dataDir: string;
  /** Absolute; finished outputs. */
  readonly outputDir: string;
  readonly maxUploadBytes: number;
  readonly maxDurationMs: number;
  readonly maxDimensionPx: number;
  /** Hosts or CIDR ranges that URLs may reach although they are private. */
  readonly allowedPrivateHosts: readonly string[];
  readonly heygen: {
    /** Null where HeyGen is not configured. */
    readonly apiKey: string | null;
    readonly endpoint: string;
    /** Operations at once, over all workers and machines. */
    readonly maxConcurrent: number;
    readonly pollIntervalMs: number;
    readonly timeoutMs: number;
    /** Prices per second of output. */
    readonly speedMicrosPerSecond: number;
    readonly precisionMicrosPerSecond: number;
  };
  /** What local engines cost while they work. */
  readonly gpuMicrosPerHour: number;
  /** What may be spent, in millionths of a dollar; null for no limit. UTC days and months. */
  readonly budget: {
    readonly dailyMicros: number | null;
    readonly monthlyMicros: number | null;
    readonly userDailyMicros: number | null;
  };
  readonly wav2lip: {
    /** Absolute; a model as .onnx, or an official checkpoint. Null where Wav2Lip is not configured. */
    readonly modelPath: string | null;
    /** Where the sound begins that the model hears for a frame, relative to the frame. */
    readonly windowStartMs: number;
  };
  /** Whether local engines try graphics processors before the CPU. */
  readonly gpuEnabled: boolean;
}

/**
 * The core's settings from the environment and the root `.env`. Relative paths count from `settingsFolder()`.
 * Throws `request_invalid` with a reason for each setting that cannot be understood.
 */
export function configFromEnvironment(environment: Environment = readEnvironment()): CoreConfig {
  const values = parseSettings(coreSettings, environment);
  return Object.freeze({
    publicBaseUrl: values.PUBLIC_BASE_URL,
    dataDir: resolve(settingsFolder(), values.LIPSYNC_DATA_DIR),
    outputDir: resolve(settingsFolder(), values.LIPSYNC_OUTPUT_DIR),
    maxUploadBytes: values.LIPSYNC_MAX_UPLOAD_BYTES,
    maxDurationMs: values.LIPSYNC_MAX_DURATION_S,
    maxDimensionPx: values.LIPSYNC_MAX_DIMENSION_PX,
    allowedPrivateHosts: values.LIPSYNC_ALLOWED_PRIVATE_HOSTS,
    heygen: Object.freeze({
      apiKey: values.HEYGEN_API_KEY === '' ? null : values.HEYGEN_API_KEY,
      endpoint: values.HEYGEN_API_ENDPOINT,
      maxConcurrent: values.HEYGEN_MAX_CONCURRENT,
      pollIntervalMs: values.HEYGEN_POLL_INTERVAL_MS,
      timeoutMs: values.HEYGEN_TIMEOUT_MS,
      speedMicrosPerSecond: values.HEYGEN_USD_PER_SECOND_SPEED,
      precisionMicrosPerSecond: values.HEYGEN_USD_PER_SECOND_PRECISION,
    }),
    gpuMicrosPerHour: values.LIPSYNC_GPU_USD_PER_HOUR,
    budget: Object.freeze({
      dailyMicros: values.LIPSYNC_BUDGET_DAILY_USD,
      monthlyMicros: values.LIPSYNC_BUDGET_MONTHLY_USD,
      userDailyMicros: values.LIPSYNC_BUDGET_USER_DAILY_USD,
    }),
    wav2lip: Object.freeze({
      modelPath: values.WAV2LIP_MODEL_PATH === '' ? null : resolve(settingsFolder(), values.WAV2LIP_MODEL_PATH),
      windowStartMs: values.WAV2LIP_WINDOW_START_MS,
    }),
    gpuEnabled: values.LIPSYNC_GPU_ENABLED,
  });
}
