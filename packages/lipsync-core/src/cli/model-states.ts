import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { hashModelFile } from '../providers/wav2lip/model/hash-file.ts';
import { readModelRecord } from '../providers/wav2lip/model/model-record.ts';
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
  readonly state: ModelState;
  /** Of what is in the folder of models; null for what comes in packages or is not there. */
  readonly path: string | null;
}

/**
 * The models that the project knows, and those that lie in `folder`, each with its licence and whether its bytes are
 * those that were recorded. Throws `model_invalid` for a manifest that cannot be understood.
 */
export async function listModels(folder: string, signal: AbortSignal): Promise<readonly ListedModel[]> {
  const { models, importable } = await readModelManifest(folder);
  const bundled = await Promise.all(models.map((model) => listBundled(model, signal)));
  const present = await Promise.all((await modelFiles(folder)).map((path) => listFile(path, signal)));
  const absent = importable
    .filter(({ name }) => !present.some((model) => model.name === name))
    .map(({ name, role, licence, source }): ListedModel => ({ name, kind: 'imported', role, licence, source, state: 'missing', path: null }));
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
  return { name, kind: 'bundled', role, licence, source: null, state: states.find((state) => state !== 'ok') ?? 'ok', path: null };
}

async function checkBundledFile(file: BundledFile, signal: AbortSignal): Promise<DigestCheck> {
  const path = installedPath(file);
  const missing = { path: `${file.package}/${file.path}`, state: 'missing', expectedSha256: file.sha256, foundSha256: null } as const;
  if (path === null) return missing;
  try {
    const { sha256 } = await hashModelFile(path, signal);
    return { path, state: sha256 === file.sha256 ? 'ok' : 'changed', expectedSha256: file.sha256, foundSha256: sha256 };
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'model_missing') return missing;
    throw error;
  }
}

async function listFile(path: string, signal: AbortSignal): Promise<ListedModel> {
  const record = await readModelRecord(path);
  const { state } = await checkRecorded(path, signal);
  return { name: record?.name ?? basename(path, '.onnx'), kind: 'imported', role: record?.role ?? null, licence: record?.licence ?? null, source: record?.source ?? null, state, path };
}

async function modelFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith('.onnx')).toSorted().map((name) => join(folder, name));
}
