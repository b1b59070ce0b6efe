import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LipsyncError } from '../../errors/index.ts';
import { errnoCode } from '../../errors/system-error.ts';
import {
  createFolder,
  openProcessWorkspace,
  sweepProcessWorkspaces,
  type Workspace,
} from '../../processes/workspace.ts';
import { placeDurably, renameDurably } from '../../storage/durable-files.ts';
import { readModelRecord, recordPathOf } from './model-record.ts';

export interface ImportOutput {
  readonly outputPath: string;
  readonly checkpointPath: string;
  readonly overwrite: boolean;
}

/** The completed files in the workspace of an import, synced to disk. */
export interface FinishedImport {
  readonly modelPath: string;
  readonly recordPath: string;
}

/**
 * Creates the output folder and rejects paths that must not be replaced, before any work is done. Throws
 * `output_exists` for an existing model and for a file at the record's path that is not a record; `request_invalid` for
 * a folder, the checkpoint itself and an unwritable path.
 */
export async function prepareOutput({ outputPath, checkpointPath, overwrite }: ImportOutput): Promise<void> {
  // Errors are reported when the checkpoint is opened.
  const checkpoint = await stat(checkpointPath).catch(() => undefined);
  await reportPathErrors(outputPath, async () => {
    await createFolder(dirname(outputPath));
    for (const path of [outputPath, recordPathOf(outputPath)]) {
      const existing = await statIfExists(path);
      if (!existing) continue;
      if (!existing.isFile()) throw invalidPath(path, 'it is not a file');
      if (checkpoint?.ino === existing.ino && checkpoint.dev === existing.dev)
        throw invalidPath(path, 'it is the checkpoint itself');
    }
    if (!overwrite) await rejectExisting(outputPath);
  });
}

/**
 * Creates a temporary folder next to the output and removes those of killed imports. The caller removes it. Throws the
 * errors of `prepareOutput`.
 */
export async function openImportWorkspace(outputPath: string): Promise<Workspace> {
  const folder = dirname(outputPath);
  // Folders that cannot be removed belong to another user and do no harm.
  await sweepProcessWorkspaces(folder).catch(() => undefined);
  return reportPathErrors(outputPath, () => openProcessWorkspace(folder));
}

/**
 * Moves record and model to their final paths, the model last, so that every published model has a record. Throws the
 * errors of `prepareOutput` for changes since then.
 */
export async function publishOutput(finished: FinishedImport, { outputPath, overwrite }: ImportOutput): Promise<void> {
  await reportPathErrors(outputPath, async () => {
    if (!overwrite) await rejectExisting(outputPath);
    await renameDurably(finished.recordPath, recordPathOf(outputPath));
    try {
      await (overwrite ? renameDurably(finished.modelPath, outputPath) : placeDurably(finished.modelPath, outputPath));
    } catch (error) {
      throw errnoCode(error) === 'EEXIST' ? outputExists(outputPath) : error;
    }
  });
}

/** A valid record without a model is a leftover and may be replaced; any other file at its path is kept. */
async function rejectExisting(outputPath: string): Promise<void> {
  if (await statIfExists(outputPath)) throw outputExists(outputPath);
  if ((await statIfExists(recordPathOf(outputPath))) && (await readModelRecord(outputPath)) === null)
    throw recordExists(recordPathOf(outputPath));
}

/** Undefined when the path does not exist. */
async function statIfExists(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/** System errors that the chosen path causes. Other errors, such as a full disk, are passed on. */
const pathErrors: ReadonlySet<string> = new Set([
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
  'EROFS',
  'ERR_INVALID_ARG_VALUE',
]);

/** Runs a step and converts errors caused by the output path to `request_invalid`. */
export async function reportPathErrors<Result>(outputPath: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    const code = errnoCode(error) ?? '';
    throw !LipsyncError.isInstance(error) && pathErrors.has(code) ? invalidPath(outputPath, code, error) : error;
  }
}

function invalidPath(outputPath: string, reason: string, cause?: unknown): LipsyncError {
  return new LipsyncError(
    'request_invalid',
    `The model cannot be written to "${outputPath}" (${reason}). Choose another path or check its permissions.`,
    { cause },
  );
}

function recordExists(path: string): LipsyncError {
  return new LipsyncError(
    'output_exists',
    `"${path}", the path of the model's record, exists already and is not a record. Choose another path, or replace it with --overwrite.`,
  );
}

function outputExists(path: string): LipsyncError {
  return new LipsyncError(
    'output_exists',
    `The output "${path}" exists already. Choose another path, or replace it with --overwrite.`,
  );
}
