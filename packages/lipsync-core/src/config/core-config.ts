import { toMicrosOrNull, type Micros } from '../billing/micros.ts';
import { z } from 'zod';
import {
  baseUrl,
  byteCount,
  listOf,
  microsFromUsd,
  millisecondsFromSeconds,
  oneOf,
  share,
  text,
  wholeNumber,
  boolean,
  type Settings,
  type SettingValues,
} from '../contract/setting-types.ts';
import { LipsyncError, toLipsyncError } from '../errors/index.ts';
import { parseAllowedHosts } from '../net/index.ts';
import { fileAccesses, type FileAccess } from '../processes/file-access.ts';
import type { ProviderDefinition } from '../providers/definition.ts';
import { providerDefinitions, refuseDuplicates, type ProviderEntry } from '../providers/registry.ts';
import type { ArtifactStoreSettings, S3InputSettings } from '../storage/index.ts';
import { artifactStoreSettings, toArtifactStore, toS3Inputs } from './artifact-store-config.ts';
import { clientSettings } from './client-config.ts';
import { markingSettings, toMarking, type MarkingConfig } from './marking-config.ts';
import { parseSettings, readEnvironment, resolveSettingPath, type Environment } from './settings.ts';

const gibibyte = 1024 ** 3;

const allowedHost = z.string().superRefine((entry, context) => {
  try {
    parseAllowedHosts([entry]);
  } catch (error) {
    context.addIssue({ code: 'custom', message: toLipsyncError(error).message });
  }
});

/** As Standard Webhooks defines it. The message omits the value, which is a secret. */
const webhookSecret = z.string().refine((value) => {
  const [, encoded = ''] = /^whsec_(.*)$/.exec(value) ?? [];
  const key = Buffer.from(encoded, 'base64');
  // Libraries of receivers differ in what else they accept.
  return key.toString('base64') === encoded && key.length >= 24 && key.length <= 64;
}, 'each secret must be "whsec_" and 24 to 64 bytes in base64; "echo whsec_$(openssl rand -base64 32)" makes one');

/** The settings that no provider defines. */
export const coreSettings = {
  PUBLIC_BASE_URL: baseUrl(),
  LIPSYNC_DATA_DIR: text('./data'),
  LIPSYNC_OUTPUT_DIR: text('./outputs/lipsync'),
  LIPSYNC_FILE_ACCESS: oneOf(fileAccesses, 'owner'),
  ...artifactStoreSettings,
  LIPSYNC_MAX_UPLOAD_BYTES: byteCount(2 * gibibyte),
  LIPSYNC_MAX_DURATION_S: millisecondsFromSeconds(3_600_000),
  LIPSYNC_MAX_DIMENSION_PX: wholeNumber(4096, { minimum: 64, maximum: 16_384 }),
  LIPSYNC_VIDEO_CRF: wholeNumber(16, { minimum: 1, maximum: 51 }),
  LIPSYNC_AUDIO_BITRATE_KBPS: wholeNumber(192, { minimum: 32, maximum: 512 }),
  LIPSYNC_ALLOWED_PRIVATE_HOSTS: listOf(allowedHost, []),
  LIPSYNC_MIN_FETCH_BYTES_PER_S: wholeNumber(32_768, { minimum: 0, maximum: 1_000_000_000 }),
  LIPSYNC_WEBHOOK_SECRETS: listOf(webhookSecret, []).refine(
    (secrets) => secrets.length <= 2,
    'must be one secret, or two while one replaces the other',
  ),
  LIPSYNC_GPU_USD_PER_HOUR: microsFromUsd(0),
  LIPSYNC_BUDGET_DAILY_USD: microsFromUsd(null),
  LIPSYNC_BUDGET_MONTHLY_USD: microsFromUsd(null),
  LIPSYNC_BUDGET_USER_DAILY_USD: microsFromUsd(null),
  LIPSYNC_GPU_ENABLED: boolean(true),
  ...markingSettings,
  LIPSYNC_CONSENT: oneOf(['optional', 'required'], 'optional'),
  LIPSYNC_QUALITY: oneOf(['on', 'off'], 'on'),
  LIPSYNC_MIN_SYNC_SCORE: share(),
  SYNCNET_MODEL_PATH: text(''),
  ASD_MODEL_PATH: text(''),
  DNSMOS_MODEL_PATH: text(''),
} satisfies Settings;

/** The settings of the core, of its providers and of the commands that use a service. */
export function listSettings(definitions: readonly ProviderDefinition[] = providerDefinitions): Settings {
  return Object.assign({}, coreSettings, clientSettings, ...definitions.map(({ settings }) => settings));
}

export interface CoreConfig {
  /** Base URL of the API as others reach it, without a trailing slash; empty when unknown. */
  readonly publicBaseUrl: string;
  /** Absolute; inputs, caches, work in progress. */
  readonly dataDir: string;
  /** Absolute; finished outputs. */
  readonly outputDir: string;
  /** Where inputs and outputs are stored: in these folders, or in a bucket. */
  readonly artifactStore: ArtifactStoreSettings;
  /** The buckets whose objects are accepted as inputs; null for none. */
  readonly s3Inputs: S3InputSettings | null;
  /** Who may read what the service stores. */
  readonly fileAccess: FileAccess;
  readonly maxUploadBytes: number;
  readonly maxDurationMs: number;
  readonly maxDimensionPx: number;
  /** Quality of takes that are encoded here: CRF of libx264, and bitrate of the AAC audio. */
  readonly encoding: { readonly videoCrf: number; readonly audioBitrateKbps: number };
  /** Hosts or CIDR ranges that URLs may reach although they are private. */
  readonly allowedPrivateHosts: readonly string[];
  /** A source that sends less, averaged over half a minute, is given up; 0 for no minimum. */
  readonly minFetchBytesPerSecond: number;
  /** Keys that sign webhooks; empty where none are sent. */
  readonly webhookSecrets: readonly string[];
  /** Cost of an hour of work on a local engine. */
  readonly gpuMicrosPerHour: number;
  /** Spending limits in millionths of a dollar per UTC day or month; null for no limit. */
  readonly budget: {
    readonly dailyMicros: Micros | null;
    readonly monthlyMicros: Micros | null;
    readonly userDailyMicros: Micros | null;
  };
  /** Whether local engines try graphics processors before the CPU. */
  readonly gpuEnabled: boolean;
  /** How the origin of outputs is marked. */
  readonly marking: MarkingConfig;
  /** Whether every lip-sync request must name a consent. */
  readonly consentRequired: boolean;
  /** Whether the quality of takes is measured. */
  readonly qualityEnabled: boolean;
  /** Lowest accepted sync score of a request without its own; null for none. */
  readonly minSyncScore: number | null;
  /** Absolute path of the SyncNet model; null without one. */
  readonly syncnetModelPath: string | null;
  /** Absolute path of the LR-ASD model, which scores who speaks; null without one. */
  readonly speakerModelPath: string | null;
  /** Absolute path of the DNSMOS model, which rates sound; null without one. */
  readonly dnsmosModelPath: string | null;
  /** The providers with their settings, in the order of `auto`. */
  readonly providers: readonly ProviderEntry[];
}

/**
 * Settings of the core and of `definitions` from the environment and the root `.env`. Relative paths start at
 * `settingsFolder()`. Throws `request_invalid` with a reason for each invalid setting.
 */
export function configFromEnvironment(
  environment: Environment = readEnvironment(),
  definitions: readonly ProviderDefinition[] = providerDefinitions,
): CoreConfig {
  refuseDuplicates(definitions);
  const all = parseSettings(listSettings(definitions), environment);
  // Parsed again for its types; one call for all settings reports every problem at once.
  const values = parseSettings(coreSettings, environment);
  requireScorer(values);
  return Object.freeze({
    publicBaseUrl: values.PUBLIC_BASE_URL,
    dataDir: resolveSettingPath(values.LIPSYNC_DATA_DIR),
    outputDir: resolveSettingPath(values.LIPSYNC_OUTPUT_DIR),
    artifactStore: toArtifactStore(values),
    s3Inputs: toS3Inputs(values),
    fileAccess: values.LIPSYNC_FILE_ACCESS,
    maxUploadBytes: values.LIPSYNC_MAX_UPLOAD_BYTES,
    maxDurationMs: values.LIPSYNC_MAX_DURATION_S,
    maxDimensionPx: values.LIPSYNC_MAX_DIMENSION_PX,
    encoding: Object.freeze({
      videoCrf: values.LIPSYNC_VIDEO_CRF,
      audioBitrateKbps: values.LIPSYNC_AUDIO_BITRATE_KBPS,
    }),
    allowedPrivateHosts: values.LIPSYNC_ALLOWED_PRIVATE_HOSTS,
    minFetchBytesPerSecond: values.LIPSYNC_MIN_FETCH_BYTES_PER_S,
    webhookSecrets: values.LIPSYNC_WEBHOOK_SECRETS,
    gpuMicrosPerHour: values.LIPSYNC_GPU_USD_PER_HOUR,
    budget: Object.freeze({
      dailyMicros: toMicrosOrNull(values.LIPSYNC_BUDGET_DAILY_USD),
      monthlyMicros: toMicrosOrNull(values.LIPSYNC_BUDGET_MONTHLY_USD),
      userDailyMicros: toMicrosOrNull(values.LIPSYNC_BUDGET_USER_DAILY_USD),
    }),
    gpuEnabled: values.LIPSYNC_GPU_ENABLED,
    marking: toMarking(values),
    consentRequired: values.LIPSYNC_CONSENT === 'required',
    qualityEnabled: values.LIPSYNC_QUALITY === 'on',
    minSyncScore: values.LIPSYNC_MIN_SYNC_SCORE,
    syncnetModelPath: toPathOrNull(values.SYNCNET_MODEL_PATH),
    speakerModelPath: toPathOrNull(values.ASD_MODEL_PATH),
    dnsmosModelPath: toPathOrNull(values.DNSMOS_MODEL_PATH),
    providers: definitions.map((definition) => ({
      definition,
      values: Object.fromEntries(Object.keys(definition.settings).map((name) => [name, all[name]])),
    })),
  });
}

function toPathOrNull(value: string): string | null {
  return value === '' ? null : resolveSettingPath(value);
}

/** Throws `request_invalid` for a lowest score that nothing measures. */
function requireScorer(values: SettingValues<typeof coreSettings>): void {
  if (values.LIPSYNC_MIN_SYNC_SCORE === null) return;
  if (values.LIPSYNC_QUALITY === 'on' && values.SYNCNET_MODEL_PATH !== '') return;
  throw new LipsyncError(
    'request_invalid',
    'LIPSYNC_MIN_SYNC_SCORE needs SYNCNET_MODEL_PATH, and LIPSYNC_QUALITY must be on.',
  );
}
