import { stat } from 'node:fs/promises';
import { hashModelFile, isOnnx, readModelRecord, type ModelRecord } from './model-record.ts';
import type { NetworkKind } from './network-kind.ts';

/** Properties of the configured model; null when unknown. */
export interface ConfiguredModelFacts {
  /** From the record next to the model; for a checkpoint, the license of the official weights. */
  readonly license: string | null;
  readonly elementType: ModelRecord['model']['element_type'] | null;
  /** Null for a checkpoint: the engine imports it in the form for its device. */
  readonly form: ModelRecord['model']['form'];
}

/** Time limit for hashing the model file; after it, the model counts as unrecorded. */
const hashTimeoutMs = 60_000;

const unknownFacts: ConfiguredModelFacts = Object.freeze({ license: null, elementType: null, form: null });

/** The model that a setting names; its path is null when the setting is empty. */
export class ConfiguredModel {
  readonly #modelPath: string | null;
  readonly #kind: Pick<NetworkKind, 'licence'>;
  #cached: { readonly fingerprint: string; readonly sha256: Promise<string | null> } | undefined;

  constructor(modelPath: string | null, kind: Pick<NetworkKind, 'licence'>) {
    this.#modelPath = modelPath;
    this.#kind = kind;
  }

  /**
   * Uses the record only while the file has the recorded size and digest. Hashes the file at the first call and after
   * changes of its size or timestamps. Never throws.
   */
  async inspect(): Promise<ConfiguredModelFacts> {
    const path = this.#modelPath;
    if (path === null) return unknownFacts;
    const record = await readModelRecord(path);
    if (record === null || (await this.#hash(path, record.model.bytes)) !== record.model.sha256)
      return isOnnx(path) ? unknownFacts : { ...unknownFacts, license: this.#kind.licence };
    return { license: record.licence, elementType: record.model.element_type, form: record.model.form };
  }

  /** SHA-256 of the file, cached until its size or timestamps change; null when the size differs or hashing fails. */
  async #hash(path: string, expectedBytes: number): Promise<string | null> {
    const stats = await stat(path).catch(() => undefined);
    if (stats?.size !== expectedBytes) return null;
    const fingerprint = [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join(' ');
    if (this.#cached?.fingerprint === fingerprint) return this.#cached.sha256;
    const sha256 = hashModelFile(path, AbortSignal.timeout(hashTimeoutMs)).then(
      (hash) => hash.sha256,
      () => {
        // The next call tries again.
        this.#cached = undefined;
        return null;
      },
    );
    this.#cached = { fingerprint, sha256 };
    return sha256;
  }
}

/** Whether the model's form is the one for this kind of device; null when either is unknown. */
export function suitsDevice({ form }: Pick<ConfiguredModelFacts, 'form'>, device: string | null): boolean | null {
  if (form === null || device === null) return null;
  return (form !== 'plain') === (device === 'cpu');
}
