import { resolve } from 'node:path';
import { z } from 'zod';
import { byteCount, integer, listOf, millisecondsFromSeconds, text, wholeNumber, yesNo } from './setting-types.ts';
import { parseSettings, readEnvironment, type Environment, type Settings } from './settings.ts';

const gibibyte = 1024 ** 3;

/** The settings that the core understands. */
export const coreSettings = {
  LIPSYNC_DATA_DIR: text('./data'),
  LIPSYNC_OUTPUT_DIR: text('./outputs/lipsync'),
  LIPSYNC_MAX_UPLOAD_BYTES: byteCount(2 * gibibyte),
  LIPSYNC_MAX_DURATION_S: millisecondsFromSeconds(3_600_000),
  LIPSYNC_MAX_DIMENSION_PX: wholeNumber(4096, { minimum: 64, maximum: 16_384 }),
  LIPSYNC_ALLOWED_PRIVATE_HOSTS: listOf(z.string(), []),
  WAV2LIP_MODEL_PATH: text(''),
  WAV2LIP_WINDOW_START_MS: integer(-40, { minimum: -1000, maximum: 1000 }),
  LIPSYNC_GPU_ENABLED: yesNo(true),
} satisfies Settings;

export interface CoreConfig {
  /** Absolute; inputs, caches, work in progress. */
  readonly dataDir: string;
  /** Absolute; finished outputs. */
  readonly outputDir: string;
  readonly maxUploadBytes: number;
  readonly maxDurationMs: number;
  readonly maxDimensionPx: number;
  /** Hosts or CIDR ranges that URLs may reach although they are private. */
  readonly allowedPrivateHosts: readonly string[];
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
 * The core's settings from the environment and the root `.env`. Relative folders count from the working directory.
 * Throws `request_invalid` with a reason for each setting that cannot be understood.
 */
export function configFromEnvironment(environment: Environment = readEnvironment()): CoreConfig {
  const values = parseSettings(coreSettings, environment);
  return Object.freeze({
    dataDir: resolve(values.LIPSYNC_DATA_DIR),
    outputDir: resolve(values.LIPSYNC_OUTPUT_DIR),
    maxUploadBytes: values.LIPSYNC_MAX_UPLOAD_BYTES,
    maxDurationMs: values.LIPSYNC_MAX_DURATION_S,
    maxDimensionPx: values.LIPSYNC_MAX_DIMENSION_PX,
    allowedPrivateHosts: values.LIPSYNC_ALLOWED_PRIVATE_HOSTS,
    wav2lip: Object.freeze({
      modelPath: values.WAV2LIP_MODEL_PATH === '' ? null : resolve(values.WAV2LIP_MODEL_PATH),
      windowStartMs: values.WAV2LIP_WINDOW_START_MS,
    }),
    gpuEnabled: values.LIPSYNC_GPU_ENABLED,
  });
}
