import { readFile, readdir } from 'node:fs/promises';
import nodeModule from 'node:module';
import { dirname, join, basename, extname, parse, resolve } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../errors/system-error.ts';
import { LipsyncError } from '../errors/index.ts';
import { hashModelFile, readModelRecord, type ModelRecord } from '../inference/models/model-record.ts';

const modelSchema = z.object({ name: z.string(), role: z.string(), licence: z.string() });

const manifestSchema = z.object({
  /** Models inside installed packages. */
  models: z.array(
    modelSchema.extend({ files: z.array(z.object({ package: z.string(), path: z.string(), sha256: z.string() })) }),
  ),
  /** Models whose weights the user downloads and imports. */
  importable: z.array(modelSchema.extend({ source: z.string(), checkpoint: z.string() })),
  /** Models that `models fetch` downloads: a file of one commit of its authors, with its digest. */
  fetchable: z
    .array(
      modelSchema.extend({
        source: z.string(),
        commit: z.string().regex(/^[\da-f]{40}$/),
        url: z.string(),
        /** Name of the file in the folder. */
        file: z.string().refine((name) => basename(name) === name, 'must be a file name'),
        bytes: z.number().int().positive(),
        sha256: z.string().regex(/^[\da-f]{64}$/),
        /** The setting that names the file. */
        setting: z.string(),
      }),
    )
    .default([]),
});

type ModelManifest = Readonly<z.infer<typeof manifestSchema>>;
export type BundledModel = ModelManifest['models'][number];
export type FetchableModel = ModelManifest['fetchable'][number];
type BundledFile = BundledModel['files'][number];

const emptyManifest: ModelManifest = { models: [], importable: [], fetchable: [] };

/** Relative to the working directory. */
export const defaultModelFolder = 'models';

/**
 * The manifest in a folder of models; empty without one, as outside of the project. Throws `model_invalid` for an
 * invalid one.
 */
export async function readModelManifest(folder: string): Promise<ModelManifest> {
  const path = join(folder, 'manifest.json');
  try {
    return manifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoCode(cause) ?? '')) return emptyManifest;
    throw new LipsyncError('model_invalid', `"${path}" is not a model manifest. Restore it from the repository.`, {
      cause,
    });
  }
}

/** Path of a bundled file; null when its package is not installed. */
function installedPath({ package: name, path }: BundledFile): string | null {
  try {
    const description = nodeModule.findPackageJSON(name, import.meta.url);
    return description === undefined ? null : join(dirname(description), path);
  } catch {
    return null;
  }
}

/**
 * `ok`: the bytes that were recorded; `changed`: other bytes; `missing`: no file; `unrecorded`: a file of unknown
 * origin.
 */
export type ModelState = 'ok' | 'changed' | 'missing' | 'unrecorded';

/** The recorded and the actual digest of a file; null for an unknown one. */
export interface DigestCheck {
  readonly path: string;
  readonly state: ModelState;
  readonly expectedSha256: string | null;
  readonly foundSha256: string | null;
}

/** A model inside installed packages. */
export interface ListedBundledModel {
  readonly kind: 'bundled';
  readonly name: string;
  readonly role: string;
  readonly licence: string;
  readonly state: ModelState;
}

/** A model file in the folder or in a setting. */
export interface ListedImportedModel {
  readonly kind: 'imported';
  readonly name: string;
  /** Role, license and source are null if they are unknown. */
  readonly role: string | null;
  readonly licence: string | null;
  readonly source: string | null;
  /** Precision and form of the layers from the record; null without a record or when the bytes changed. */
  readonly elementType: ModelRecord['model']['element_type'] | null;
  readonly form: ModelRecord['model']['form'];
  readonly state: ModelState;
  readonly path: string;
  /** The setting that names it; null for none. */
  readonly setting: string | null;
}

/** A model of the manifest that has not been imported yet. */
export interface ListedImportableModel {
  readonly kind: 'importable';
  readonly name: string;
  readonly role: string;
  readonly licence: string;
  readonly source: string;
  /** Name of the file that its authors publish. */
  readonly checkpoint: string;
  readonly state: 'missing';
}

/** A model of the manifest that `models fetch` downloads. */
export interface ListedFetchableModel {
  readonly kind: 'fetchable';
  readonly name: string;
  readonly role: string;
  readonly licence: string;
  readonly source: string;
  readonly state: ModelState;
  /** Null for a missing file. */
  readonly path: string | null;
  /** The setting that names it; null for none. */
  readonly setting: string | null;
}

export type ListedModel = ListedBundledModel | ListedImportedModel | ListedImportableModel | ListedFetchableModel;

interface ConfiguredModel {
  readonly setting: string;
  readonly path: string;
}

export interface ModelSources {
  readonly folder: string;
  /** The models that settings name, by absolute path. */
  readonly configured: readonly ConfiguredModel[];
}

const noFormat = { licence: null, elementType: null, form: null } as const;

/**
 * The models of the manifest, of `folder` and of the settings, each with its license and the state of its bytes.
 * Throws `model_invalid` for an invalid manifest and `request_invalid` for a folder that cannot be read.
 */
export async function listModels(
  { folder, configured }: ModelSources,
  signal: AbortSignal,
): Promise<readonly ListedModel[]> {
  const { models, importable, fetchable } = await readModelManifest(folder);
  const bundled = await mapInSequence(models, (model) => listBundled(model, signal));
  const fetched = await mapInSequence(fetchable, (model) => listFetchable(model, { folder, configured }, signal));
  const fetchablePaths = fetchable.map(({ file }) => join(folder, file));
  const inFolder = (await listModelFiles(folder)).filter((path) => !fetchablePaths.includes(path));
  const elsewhere = configured
    .map(({ path }) => path)
    .filter((path) => ![...inFolder, ...fetchablePaths].some((other) => resolve(other) === path));
  const present = await mapInSequence([...inFolder, ...elsewhere], (path) => listFile(path, configured, signal));
  const absent = importable
    .filter(({ name, checkpoint }) => !present.some((model) => [name, parse(checkpoint).name].includes(model.name)))
    .map(({ name, role, licence, source, checkpoint }): ListedImportableModel => ({
      kind: 'importable',
      name,
      role,
      licence,
      source,
      checkpoint,
      state: 'missing',
    }));
  return [...bundled, ...present, ...absent, ...fetched];
}

/** Files are hashed one after the other: in parallel, they would compete for the disk. */
async function mapInSequence<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** Compares every file of a bundled model with the manifest. */
export async function checkBundled({ files }: BundledModel, signal: AbortSignal): Promise<readonly DigestCheck[]> {
  return mapInSequence(files, (file) => checkBundledFile(file, signal));
}

/** Compares the file of a fetchable model with the manifest. */
export async function checkFetched(
  { file, sha256 }: FetchableModel,
  folder: string,
  signal: AbortSignal,
): Promise<DigestCheck> {
  const path = join(folder, file);
  const missing = { path, state: 'missing', expectedSha256: sha256, foundSha256: null } as const;
  return orIfMissing<DigestCheck>(missing, async () => {
    const found = (await hashModelFile(path, signal)).sha256;
    return { path, state: found === sha256 ? 'ok' : 'changed', expectedSha256: sha256, foundSha256: found };
  });
}

/** Compares a model file with the record beside it. Throws `model_missing` when it cannot be read. */
export async function checkRecorded(path: string, signal: AbortSignal): Promise<DigestCheck> {
  const { sha256: foundSha256 } = await hashModelFile(path, signal);
  const record = await readModelRecord(path);
  if (record === null) return { path, state: 'unrecorded', expectedSha256: null, foundSha256 };
  const { sha256: expectedSha256 } = record.model;
  return { path, state: expectedSha256 === foundSha256 ? 'ok' : 'changed', expectedSha256, foundSha256 };
}

async function listBundled(model: BundledModel, signal: AbortSignal): Promise<ListedBundledModel> {
  const states = (await checkBundled(model, signal)).map(({ state }) => state);
  const { name, role, licence } = model;
  return { kind: 'bundled', name, role, licence, state: states.find((state) => state !== 'ok') ?? 'ok' };
}

async function listFetchable(
  model: FetchableModel,
  sources: ModelSources,
  signal: AbortSignal,
): Promise<ListedFetchableModel> {
  const { path, state } = await checkFetched(model, sources.folder, signal);
  const { name, role, licence, source } = model;
  const setting = sources.configured.find((entry) => entry.path === resolve(path))?.setting ?? null;
  return { kind: 'fetchable', name, role, licence, source, state, path: state === 'missing' ? null : path, setting };
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
  return orIfMissing<DigestCheck>(missing, async () => {
    const { sha256 } = await hashModelFile(path, signal);
    return { path, state: sha256 === file.sha256 ? 'ok' : 'changed', expectedSha256: file.sha256, foundSha256: sha256 };
  });
}

async function orIfMissing<Result>(missing: Result, check: () => Promise<Result>): Promise<Result> {
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
): Promise<ListedImportedModel> {
  const record = await readModelRecord(path);
  const state = await orIfMissing<ModelState>('missing', async () => (await checkRecorded(path, signal)).state);
  const { name = basename(path, extname(path)), role = null, source = null } = record ?? {};
  // A record applies only to the bytes it was written for.
  const format =
    state === 'ok' && record
      ? { licence: record.licence, elementType: record.model.element_type, form: record.model.form }
      : noFormat;
  const setting = configured.find((model) => model.path === resolve(path))?.setting ?? null;
  return { kind: 'imported', name, role, source, ...format, state, path, setting };
}

/** Paths of the ONNX files in a folder; none if it does not exist. */
async function listModelFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((cause: unknown): string[] => {
    if (errnoCode(cause) === 'ENOENT') return [];
    throw new LipsyncError(
      'request_invalid',
      `"${folder}" cannot be read as a folder of models (${errnoCode(cause) ?? 'unknown error'}). Check its permissions, or name another one with --folder.`,
      { cause },
    );
  });
  return names
    .filter((name) => name.endsWith('.onnx'))
    .toSorted()
    .map((name) => join(folder, name));
}
