import { stat } from 'node:fs/promises';
import { hashModelFile } from './hash-file.ts';
import { isOnnx, officialLicence, readModelRecord, type ModelRecord } from './model-record.ts';

/** What is known of the model that a setting names; null for what is not. */
export interface ConfiguredModelFacts {
  /** As the record beside it has it, or of the checkpoints that the authors released. */
  readonly licence: string | null;
  readonly elementType: ModelRecord['model']['element_type'] | null;
  /** Null also for a checkpoint, which an engine imports in the form that suits its device. */
  readonly form: ModelRecord['model']['form'];
}

export interface ConfiguredModel {
  /**
   * Believes a record only as long as the file has the size and digest that it names. Reads the whole file at the first
   * look and when it has changed since, else nothing but its size and times. Never throws.
   */
  look(): Promise<ConfiguredModelFacts>;
}

/** For a large file on a slow disk; a file that takes longer is taken for one that nobody knows. */
const hashLimitMs = 60_000;

const nothingKnown: ConfiguredModelFacts = Object.freeze({ licence: null, elementType: null, form: null });

/** `modelPath` as it is configured; null where it is not. */
export function createConfiguredModel(modelPath: string | null): ConfiguredModel {
  if (modelPath === null) return { look: async () => nothingKnown };
  const unrecorded: ConfiguredModelFacts = isOnnx(modelPath)
    ? nothingKnown
    : { ...nothingKnown, licence: officialLicence };
  const digestOf = createDigests(modelPath);
  return {
    async look() {
      const record = await readModelRecord(modelPath);
      if (record === null || (await digestOf(record.model.bytes)) !== record.model.sha256) return unrecorded;
      const { licence, model } = record;
      return { licence, elementType: model.element_type, form: model.form };
    },
  };
}

/** The digest of a file that has `bytes` bytes, read once for as long as size and times stay the same; null for another file. */
function createDigests(path: string): (bytes: number) => Promise<string | null> {
  let known: { readonly stamp: string; readonly sha256: Promise<string | null> } | undefined;
  return async (bytes) => {
    const stats = await stat(path).catch(() => undefined);
    if (stats?.size !== bytes) return null;
    const stamp = [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join(' ');
    if (known?.stamp === stamp) return known.sha256;
    const sha256 = hashModelFile(path, AbortSignal.timeout(hashLimitMs)).then(
      (facts) => facts.sha256,
      () => {
        // Whoever looks next tries again.
        known = undefined;
        return null;
      },
    );
    known = { stamp, sha256 };
    return sha256;
  };
}

/** Whether a model is written for the kind of device that it runs on; null where its form or the device is not known. */
export function suitsDevice({ form }: Pick<ConfiguredModelFacts, 'form'>, device: string | null): boolean | null {
  if (form === null || device === null) return null;
  return (form === 'rewritten') === (device === 'cpu');
}
