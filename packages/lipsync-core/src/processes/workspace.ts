import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toStorageError, type StorageFolder } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { currentProcess, isGone, thisProcess, type ProcessOwner } from './process-owner.ts';

/** A private folder for work in progress. The caller that opened it calls `remove` when the work ends. */
export interface Workspace {
  readonly path: string;
  file(name: string): string;
  remove(): Promise<void>;
}

/** Names of the job workspaces that this process has open. */
const openNames = new Set<string>();

/** A run of a job. Later runs have higher numbers. */
interface Run {
  readonly id: string;
  readonly runs: number;
}

/**
 * Opens the workspace of a run below `root` and removes those that earlier runs of the same job have left. Throws a
 * `StorageError` when the folder cannot be written.
 */
export async function openJobWorkspace(root: string, { id, runs }: Run): Promise<Workspace> {
  const jobFolder = join(root, id);
  const name = `${runs}-${processFolderName(await thisProcess())}`;
  const path = join(jobFolder, name);
  openNames.add(name);
  try {
    await createWorkFolder(root, path);
    await removeUnused(jobFolder, (run = Infinity) => run < runs);
  } catch (error) {
    openNames.delete(name);
    throw error;
  }
  return {
    path,
    file: (fileName) => join(path, fileName),
    async remove() {
      openNames.delete(name);
      await removeFolder(path);
      await removeIfEmpty(jobFolder);
    },
  };
}

/** Where the finished take of a job is kept until it can be published. */
export function keptTakePath(root: string, jobId: string): string {
  return join(root, jobId, 'kept-take.mp4');
}

/** Where the finished take of an attempt is kept until the job ends. */
export function candidatePath(root: string, jobId: string, attemptIndex: number): string {
  return join(root, jobId, `candidate-${attemptIndex}.mp4`);
}

/**
 * Removes the kept takes of a job below `root`, and the workspaces of its runs up to this one: a retry may have started
 * a later run already.
 */
export async function removeJobWorkspaces(root: string, { id, runs }: Run): Promise<void> {
  const jobFolder = join(root, id);
  await removeUnused(jobFolder, (run = 0) => run <= runs);
  await removeIfEmpty(jobFolder);
}

/** Removes the files of a job whose run `isOld`, except workspaces in use. The run of a kept take is undefined. */
async function removeUnused(jobFolder: string, isOld: (run: number | undefined) => boolean): Promise<void> {
  const names = await readdir(jobFolder).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  });
  await Promise.all(
    names.map(async (name) => {
      if (isOld(runOf(name)) && !(await isInUse(name))) await removeFolder(join(jobFolder, name));
    }),
  );
}

const runPattern = /^(\d+)-/;

function runOf(name: string): number | undefined {
  const [, run] = runPattern.exec(name) ?? [];
  return run === undefined ? undefined : Number(run);
}

/**
 * Whether a living process of this host works in the workspace: a superseded run that lost its files would fail before
 * it stops. Whether the processes of other hosts live is unknown, so their workspaces count as left behind.
 */
async function isInUse(name: string): Promise<boolean> {
  if (openNames.has(name)) return true;
  const owner = ownerOf(name.replace(runPattern, ''));
  const { pid, host } = currentProcess();
  return owner !== undefined && owner.host === host && owner.pid !== pid && !(await isGone(owner));
}

async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch(ignoreInUse);
}

function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

/** Ignores that another run works in the folder or has removed it. */
function ignoreInUse(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
}

/** The owner is part of the name, so that no folder exists without an owner at any time. */
const processFolderPattern = /^process-(\d{1,10})-(\d{1,15}|unknown)-[0-9a-f-]{36}@(.+)$/;

/** Returns the name of a new folder of a process. */
export function processFolderName({ pid, startTicks, host }: ProcessOwner): string {
  return `process-${pid}-${startTicks ?? 'unknown'}-${randomUUID()}@${host}`;
}

/**
 * Opens a workspace that belongs to this process rather than to a queued job. `sweepProcessWorkspaces` removes it after
 * a crash. Throws a `StorageError` when the folder cannot be written.
 */
export async function openProcessWorkspace(root: string): Promise<Workspace> {
  const path = join(root, processFolderName(await thisProcess()));
  await createWorkFolder(root, path);
  return { path, file: (name) => join(path, name), remove: () => removeFolder(path) };
}

/**
 * Crash recovery: removes the workspaces of killed processes of this host, those of their job runs included: the end of a
 * job leaves the workspace of an earlier run that has not ended yet. Other hosts that share the folder remove their own.
 */
export async function sweepProcessWorkspaces(root: string): Promise<void> {
  const names = await readdir(root).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const owner = ownerOf(name);
      if (!owner) await sweepJobFolder(join(root, name));
      else if (await isGone(owner)) await removeFolder(join(root, name));
    }),
  );
}

async function sweepJobFolder(jobFolder: string): Promise<void> {
  const names = await readdir(jobFolder).catch(() => []);
  for (const name of names) {
    const owner = runOf(name) === undefined ? undefined : ownerOf(name.replace(runPattern, ''));
    if (!owner || !(await isGone(owner))) continue;
    await removeFolder(join(jobFolder, name));
    await removeIfEmpty(jobFolder);
  }
}

async function createWorkFolder(root: string, path: string): Promise<void> {
  await createFolder(path).catch((error: unknown) => {
    throw toStorageError(error, workStorage(root));
  });
}

/** The folder of work in progress, as errors name it. */
export function workStorage(root: string): StorageFolder {
  return { path: root, alternative: 'set LIPSYNC_DATA_DIR to another folder' };
}

/**
 * Creates a folder and its parents. Throws the system error of the folder that could not be created. A recursive mkdir
 * of Node reports a read-only file system as ENOENT, and never returns where an existing folder refuses a child with
 * ENOENT, as in /proc.
 */
export async function createFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const parent = dirname(path);
    if (errnoCode(error) !== 'ENOENT' || parent === path) return requireFolder(path, error);
    await createFolder(parent);
    await mkdir(path).catch((refusal: unknown) => requireFolder(path, refusal));
  }
}

/** Throws unless the path is a folder although it could not be created. */
async function requireFolder(path: string, refusal: unknown): Promise<void> {
  const found = await stat(path).catch((missing: unknown) => {
    throw errnoCode(refusal) === 'EEXIST' ? missing : refusal;
  });
  if (!found.isDirectory()) throw refusal;
}

/** The process in a name that `processFolderName` returned; undefined for other names. */
export function ownerOf(folderName: string): ProcessOwner | undefined {
  const [, pid, startTicks, host] = processFolderPattern.exec(folderName) ?? [];
  if (pid === undefined || host === undefined) return undefined;
  return { pid: Number(pid), startTicks: startTicks === 'unknown' ? null : Number(startTicks), host };
}
