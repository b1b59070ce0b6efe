import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import type { CoreConfig } from '../config.ts';
import { findModelFault } from '../inference/models/model-fault.ts';
import type { DoctorCheck } from '../providers/definition.ts';
import type { AssessmentModels } from '../quality/analyzer.ts';

export type QualityModelConfig = Pick<
  CoreConfig,
  'dataDir' | 'syncnetModelPath' | 'speakerModelPath' | 'dnsmosModelPath'
>;

/** A model that measures quality, and the setting that names its file. */
export interface QualityModel {
  readonly name: string;
  readonly setting: string;
  /** Null when the setting is empty. */
  readonly path: string | null;
  /** What is measured with it. */
  readonly effect: string;
  /** How to get it. */
  readonly advice: string;
}

/** The optional models for measuring quality. */
export function listQualityModels(config: QualityModelConfig): readonly QualityModel[] {
  return [
    {
      name: 'syncnet',
      setting: 'SYNCNET_MODEL_PATH',
      path: config.syncnetModelPath,
      effect: 'measures the sync score',
      advice: 'lipsync models list names the source and the command that imports it',
    },
    {
      name: 'lr-asd',
      setting: 'ASD_MODEL_PATH',
      path: config.speakerModelPath,
      effect: 'measures who speaks',
      advice: 'lipsync models fetch lr-asd downloads it',
    },
    {
      name: 'dnsmos',
      setting: 'DNSMOS_MODEL_PATH',
      path: config.dnsmosModelPath,
      effect: 'predicts the opinion of listeners about the sound',
      advice: 'lipsync models fetch dnsmos downloads it',
    },
  ];
}

/** The models as an assessment takes them. */
export function toAssessmentModels(config: QualityModelConfig): AssessmentModels {
  return {
    syncnetPath: config.syncnetModelPath ?? undefined,
    speakerPath: config.speakerModelPath ?? undefined,
    dnsmosPath: config.dnsmosModelPath ?? undefined,
    cacheFolder: join(config.dataDir, 'cache', 'models'),
  };
}

/** One check per model, for `doctor`. */
export function diagnoseQualityModels(config: QualityModelConfig): Promise<readonly DoctorCheck[]> {
  return Promise.all(listQualityModels(config).map(diagnose));
}

async function diagnose({ name, setting, path, effect, advice }: QualityModel): Promise<DoctorCheck> {
  if (path === null)
    return {
      name,
      state: 'optional',
      detail: `not configured; ${effect}`,
      advice: `${advice}; then set ${setting} to the file.`,
    };
  try {
    await access(path, constants.R_OK);
  } catch {
    const correction = `Correct ${setting}, or make the file readable; ${advice}.`;
    return { name, state: 'missing', detail: `${path} cannot be read`, advice: correction };
  }
  const fault = await findModelFault(path);
  if (fault !== null) {
    const correction = `Correct ${setting}, or get the model again: ${advice}.`;
    return { name, state: 'missing', detail: `${path} cannot be used: ${fault}`, advice: correction };
  }
  return { name, state: 'ok', detail: `${path}; ${effect}`, advice: '' };
}
