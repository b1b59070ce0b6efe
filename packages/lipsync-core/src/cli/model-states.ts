import { readdir } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { hashModelFile, readModelRecord, type ModelRecord } from '../providers/wav2lip/model/model-record.ts';
import { installedPath, readModelManifest, type BundledFile, type BundledModel } from './model-manifest.ts';

/**
 * `ok`: as when it was recorded; `changed`: other bytes; `missing`: not there; `unrecorded`: there, but nothing is
 * known about where it comes from.
 */
export type ModelState = 'ok' | 'changed' | 'missing' | 'unrecorded';

/** A digest as it was recorded and as it is; null for what is not known. */
export interface DigestCheck {
  readonly path: string;
  readonly state: ModelState;
  readonly expectedSha256: string | null;
  readonly foundSha256: string | null;
}

export interface ListedModel {
  readonly name: string;
  readonly kind: 'bundled' | 'imported';
  readonly role: string | null;
  readonly licence: string | null;
  readonly source: string | null;
  /** Precision and form of the layers, as in the record; null for what is not ours, and where the bytes are others now. */
  readonly elementType: ModelRecord['model']['element_type'] | null;
  readonly form: ModelRecord['model']['form'];
  readonly state: ModelState;
  /** Of what is in the folder of models or configured; null for what comes in packages or is not there. */
  readonly path: string | null;
  /** The setting that names it; null for none. */
  readonly setting: string | null;
}

interface ConfiguredModel {
  readonly setting: string;
  readonly path: string;
}

export interface ModelPlaces {
  readonly folder: string;
  /** The models that settings name, by absolute path. */
  readonly configured: readonly ConfiguredModel[];
}

const unwritten = { elementType: null, form: null } as const;

/**
 * The models that the project knows, those that lie in `folder`, and the one that is configured, each with its licence
 * and whether its bytes are those that were recorded. Throws `model_invalid` for a manifest that cannot be understood.
 */
export async function listModels(
  { folder, configured }: ModelPlaces,
  signal: AbortSignal,
): Promise<readonly ListedModel[]> {
  const { models, importable } = await readModelManifest(folder);
  const bundled = await Promise.all(models.map((model) => listBundled(model, signal)));
  const inFolder = await modelFiles(folder);
  const elsewhere = configured
    .map(({ path }) => path)
    .filter((path) => !inFolder.some((other) => resolve(other) === path));
  const present = await Promise.all([...inFolder, ...elsewhere].map((path) => listFile(path, configured, signal)));
  const absent = importable
    .filter(({ name }) => !present.some((model) => model.name === name))
    .map(({ name, role, licence, source }): ListedModel => ({
      ...unwritten,
      name,
      kind: 'imported',
      role,
      licence,
      source,
      state: 'missing',
      path: null,
      setting: null,
    }));
  return [...bundled, ...present, ...absent];
}

/** Compares every file of a model that comes in packages with the manifest. */
export async function checkBundled({ files }: BundledModel, signal: AbortSignal): Promise<readonly DigestCheck[]> {
  return Promise.all(files.map((file) => checkBundledFile(file, signal)));
}

/** Compares a model's file with the record beside it. Throws `model_missing` when it cannot be read. */
export async function checkRecorded(path: string, signal: AbortSignal): Promise<DigestCheck> {
  const { sha256: foundSha256 } = await hashModelFile(path, signal);
  const record = await readModelRecord(path);
  if (record === null) return { path, state: 'unrecorded', expectedSha256: null, foundSha256 };
  const { sha256: expectedSha256 } = record.model;
  return { path, state: expectedSha256 === foundSha256 ? 'ok' : 'changed', expectedSha256, foundSha256 };
}

async function listBundled(model: BundledModel, signal: AbortSignal): Promise<ListedModel> {
  const states = (await checkBundled(model, signal)).map(({ state }) => state);
  const { name, role, licence } = model;
  return {
    ...unwritten,
    name,
    kind: 'bundled',
    role,
    licence,
    source: null,
    state: states.find((state) => state !== 'ok') ?? 'ok',
    path: null,
    setting: null,
  };
}

async function checkBundledFile(file: BundledFile, signal: AbortSignal): Promise<DigestCheck> {
  const path = installedPath(file);
  const missing = {
    path: `${file.package}/${file.path}`,
    state: 'missing',
    expectedSha256: file.sha256,
    foundSha256: null,
  } as const;
  if (path === null) return missing;
  return unlessMissing<DigestCheck>(missing, async () => {
    const { sha256 } = await hashModelFile(path, signal);
    return { path, state: sha256 === file.sha256 ? 'ok' : 'changed', expectedSha256: file.sha256, foundSha256: sha256 };
  });
}

async function unlessMissing<Result>(missing: Result, check: () => Promise<Result>): Promise<Result> {
  try {
    return await check();
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'model_missing') return missing;
    throw error;
  }
}

async function listFile(
  path: string,
  configured: readonly ConfiguredModel[],
  signal: AbortSignal,
): Promise<ListedModel> {
  const record = await readModelRecord(path);
  const state = await unlessMissing<ModelState>('missing', async () => (await checkRecorded(path, signal)).state);
  const { name = basename(path, extname(path)), role = null, source = null } = record ?? {};
  // Of other bytes than those that were recorded, a record tells neither licence nor form.
  const { licence, model } = state === 'ok' && record ? record : { licence: null, model: null };
  return {
    name,
    kind: 'imported',
    role,
    licence,
    source,
    elementType: model?.element_type ?? null,
    form: model?.form ?? null,
    state,
    path,
    setting: configured.find((model) => model.path === resolve(path))?.setting ?? null,
  };
}

async function modelFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith('.onnx'))
    .toSorted()
    .map((name) => join(folder, name));
}
