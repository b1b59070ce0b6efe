import type { Stats } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LipsyncError } from '../../../errors/index.ts';
import { errnoCode } from '../../../errors/system-error.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, type Workspace } from '../../../jobs/workspace.ts';
import { placeDurably, renameDurably } from '../../../storage/durable-files.ts';
import { readModelRecord, recordPathOf } from './model-record.ts';

export interface ImportOutput {
  readonly outputPath: string;
  readonly checkpointPath: string;
  readonly overwrite: boolean;
}

/** Synced files in the workspace of an import. */
export interface FinishedImport {
  readonly modelPath: string;
  readonly recordPath: string;
}

/**
 * Makes the output's folders and refuses what may not be replaced, before any work. Throws `output_exists` for a file
 * that is there, or one in the record's place that is no record, `request_invalid` for folders, for the checkpoint
 * itself, and where nothing can be written.
 */
export async function prepareOutput({ outputPath, checkpointPath, overwrite }: ImportOutput): Promise<void> {
  // What is wrong with it is said when it is opened.
  const checkpoint = await stat(checkpointPath).catch(() => undefined);
  await writing(outputPath, async () => {
    await mkdir(dirname(outputPath), { recursive: true });
    for (const path of [outputPath, recordPathOf(outputPath)]) {
      const there = await statOf(path);
      if (!there) continue;
      if (!there.isFile()) throw refusal(path, 'it is not a file');
      if (checkpoint?.ino === there.ino && checkpoint.dev === there.dev)
        throw refusal(path, 'it is the checkpoint itself');
    }
    if (!overwrite) await refuseExisting(outputPath);
  });
}

/**
 * Opens a folder beside the output for what is not finished, and removes those that imports left which were killed. The
 * caller removes it. Throws as `prepareOutput` does.
 */
export async function openImportWorkspace(outputPath: string): Promise<Workspace> {
  const folder = dirname(outputPath);
  // What may not be removed is somebody else's; it is not in the way.
  await sweepProcessWorkspaces(folder).catch(() => undefined);
  return writing(outputPath, () => openProcessWorkspace(folder));
}

/**
 * Gives the finished model and its record their names, the model last: a model that is there has a record. Throws as
 * `prepareOutput` does, for what changed meanwhile.
 */
export async function publishOutput(finished: FinishedImport, { outputPath, overwrite }: ImportOutput): Promise<void> {
  await writing(outputPath, async () => {
    if (!overwrite) await refuseExisting(outputPath);
    await renameDurably(finished.recordPath, recordPathOf(outputPath));
    try {
      await (overwrite ? renameDurably(finished.modelPath, outputPath) : placeDurably(finished.modelPath, outputPath));
    } catch (error) {
      throw errnoCode(error) === 'EEXIST' ? outputExists() : error;
    }
  });
}

/** A record of ours may stay behind when its model is removed, or an import killed; everything else is somebody's. */
async function refuseExisting(outputPath: string): Promise<void> {
  if (await statOf(outputPath)) throw outputExists();
  if ((await statOf(recordPathOf(outputPath))) && (await readModelRecord(outputPath)) === null)
    throw recordExists(recordPathOf(outputPath));
}

/** Undefined when nothing has the name. */
async function statOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/** System errors that say that the path cannot be written; others, a full disk among them, stay what they are. */
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

/** Does the step and throws `request_invalid` when the output's path is at fault. */
export async function writing<Result>(outputPath: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    const code = errnoCode(error) ?? '';
    throw !LipsyncError.isInstance(error) && pathErrors.has(code) ? refusal(outputPath, code, error) : error;
  }
}

function refusal(outputPath: string, reason: string, cause?: unknown): LipsyncError {
  return new LipsyncError(
    'request_invalid',
    `The model cannot be written to "${outputPath}" (${reason}). Choose another path, or see to its permissions.`,
    { cause },
  );
}

function recordExists(path: string): LipsyncError {
  return new LipsyncError(
    'output_exists',
    `"${path}", where the model's record goes, exists already and is no such record; choose another path, or allow it to be overwritten.`,
  );
}

function outputExists(): LipsyncError {
  return new LipsyncError(
    'output_exists',
    'The output exists already; choose another path, or allow it to be overwritten.',
  );
}
