import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRecord } from './job-record.ts';
import { isGone, thisProcess, type ProcessOwner } from '../processes/process-owner.ts';

/** A private folder for one run of one job. Whoever opened it calls `remove` in the end, whatever happened. */
export interface Workspace {
  readonly path: string;
  file(name: string): string;
  remove(): Promise<void>;
}

/** Opens the workspace of this run of the job below `root` and removes what earlier runs of the same job left there. */
export async function openJobWorkspace(root: string, { id, runs }: Pick<JobRecord, 'id' | 'runs'>): Promise<Workspace> {
  const jobFolder = join(root, id);
  const path = join(jobFolder, `${runs}-${randomUUID()}`);
  await mkdir(path, { recursive: true });
  // A later run may be under way already, where this one is slow to begin.
  const earlier = (await readdir(jobFolder)).filter((name) => !(Number.parseInt(name, 10) >= runs));
  await Promise.all(earlier.map((name) => removeFolder(join(jobFolder, name))));
  return {
    path,
    file: (name) => join(path, name),
    async remove() {
      await removeFolder(path);
      await rmdir(jobFolder).catch(ignoreInUse);
    },
  };
}

/** Removes everything that any run of `jobId` left below `root`. */
export async function removeJobWorkspaces(root: string, jobId: string): Promise<void> {
  await removeFolder(join(root, jobId));
}

function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

/** Another run of the job works in the folder, or has removed it. */
function ignoreInUse(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
}

/** The name says whose folder it is: there is no moment at which the folder is there and its owner is not known. */
const processFolderPattern = /^process-(\d{1,10})-(\d{1,15}|unknown)-[0-9a-f-]{36}@(.+)$/;

/** The name of a new folder of a process. */
export function processFolderName({ pid, startTicks, host }: ProcessOwner): string {
  return `process-${pid}-${startTicks ?? 'unknown'}-${randomUUID()}@${host}`;
}

/** Opens a workspace that belongs to this process rather than to a queued job. */
export async function openProcessWorkspace(root: string): Promise<Workspace> {
  const path = join(root, processFolderName(await thisProcess()));
  await mkdir(path, { recursive: true });
  return { path, file: (name) => join(path, name), remove: () => removeFolder(path) };
}

/**
 * Removes workspaces of processes that are gone: they were killed before they could do it themselves. Those of other
 * hosts, which may share the folder, are left to them.
 */
export async function sweepProcessWorkspaces(root: string): Promise<void> {
  const names = await readdir(root).catch(() => []);
  await Promise.all(
    names.map(async (name) => {
      const owner = ownerOf(name);
      if (owner && (await isGone(owner))) await removeFolder(join(root, name));
    }),
  );
}

function ownerOf(folderName: string): ProcessOwner | undefined {
  const [, pid, startTicks, host] = processFolderPattern.exec(folderName) ?? [];
  if (pid === undefined || host === undefined) return undefined;
  return { pid: Number(pid), startTicks: startTicks === 'unknown' ? null : Number(startTicks), host };
}
