import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** A private folder for one run of one job. Whoever opened it calls `remove` in the end, whatever happened. */
export interface Workspace {
  readonly path: string;
  file(name: string): string;
  remove(): Promise<void>;
}

/** Opens the workspace of a run of `jobId` below `root` and removes what earlier runs of the same job left there. */
export async function openJobWorkspace(root: string, jobId: string): Promise<Workspace> {
  const jobFolder = join(root, jobId);
  await rm(jobFolder, { recursive: true, force: true });
  const path = join(jobFolder, randomUUID());
  await mkdir(path, { recursive: true });
  return { path, file: (name) => join(path, name), remove: () => removeJobWorkspaces(root, jobId) };
}

/** Removes everything that any run of `jobId` left below `root`. */
export async function removeJobWorkspaces(root: string, jobId: string): Promise<void> {
  await rm(join(root, jobId), { recursive: true, force: true });
}

const processPrefix = 'process-';

/** Opens a workspace that belongs to this process rather than to a queued job. */
export async function openProcessWorkspace(root: string): Promise<Workspace> {
  const path = join(root, `${processPrefix}${process.pid}-${randomUUID()}`);
  await mkdir(path, { recursive: true });
  return { path, file: (name) => join(path, name), remove: () => rm(path, { recursive: true, force: true }) };
}

/** Removes workspaces of processes that are gone: they were killed before they could do it themselves. */
export async function sweepProcessWorkspaces(root: string): Promise<void> {
  const names = await readdir(root).catch(() => []);
  const abandoned = names.filter((name) => name.startsWith(processPrefix) && !isRunning(ownerOf(name)));
  await Promise.all(abandoned.map((name) => rm(join(root, name), { recursive: true, force: true })));
}

function ownerOf(folderName: string): number {
  return Number.parseInt(folderName.slice(processPrefix.length), 10);
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, but belongs to someone else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
