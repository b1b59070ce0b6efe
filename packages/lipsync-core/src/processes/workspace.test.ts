import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess, type ProcessOwner } from './process-owner.ts';
import {
  createFolder,
  openJobWorkspace,
  openProcessWorkspace,
  processFolderName,
  removeJobWorkspaces,
  sweepProcessWorkspaces,
} from './workspace.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lipsync-workspace-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('createFolder', () => {
  it('A folder is created with its parents, and an existing one is left alone.', async () => {
    const path = join(root, 'a', 'b', 'c');
    await Promise.all([createFolder(path), createFolder(path)]);
    await createFolder(path);
    expect(await readdir(join(root, 'a', 'b'))).toEqual(['c']);
  });

  it.runIf(process.platform === 'linux')(
    'Creating a folder ends with an error where the system refuses children of an existing folder.',
    async () => {
      await expect(createFolder('/proc/lipsync/data')).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );

  it('Creating a folder fails with the reason at a file, below one, and at a link that leads nowhere.', async () => {
    await writeFile(join(root, 'file'), '');
    await symlink(join(root, 'gone'), join(root, 'link'));
    await expect(createFolder(join(root, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(createFolder(join(root, 'file', 'data'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(createFolder(join(root, 'link'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(createFolder(join(root, 'link', 'data'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('openJobWorkspace', () => {
  it('A workspace removes itself and nothing of another run.', async () => {
    const [first, second] = [
      await openJobWorkspace(root, { id: 'job_1', runs: 1 }),
      await openJobWorkspace(root, { id: 'job_1', runs: 1 }),
    ];
    await first.remove();
    expect(await readdir(second.path)).toEqual([]);
    await second.remove();
    expect(await readdir(root)).toEqual([]);
  });

  it('A workspace replaces those of earlier runs of killed processes, but not that of a later run.', async () => {
    const [earlier, later] = [await leaveWorkspace(9), await leaveWorkspace(11)];
    const { path } = await openJobWorkspace(root, { id: 'job_1', runs: 10 });
    expect(await names()).toEqual([basename(path), later].toSorted());
    expect(await names()).not.toContain(earlier);
  });

  it('A run that still ends in this process keeps its workspace when a later run begins.', async () => {
    const superseded = await openJobWorkspace(root, { id: 'job_1', runs: 1 });
    await writeFile(superseded.file('take.mp4'), '');
    const later = await openJobWorkspace(root, { id: 'job_1', runs: 2 });
    expect(await readdir(superseded.path)).toEqual(['take.mp4']);
    await superseded.remove();
    expect(await names()).toEqual([basename(later.path)]);
  });

  it('A run that still ends in another process of this host keeps its workspace when a later run begins.', async () => {
    const superseded = await leaveWorkspace(1, { pid: process.ppid, startTicks: null });
    await openJobWorkspace(root, { id: 'job_1', runs: 2 });
    expect(await names()).toContain(superseded);
  });

  it('A workspace of this process that could not be removed is removed by the next run.', async () => {
    const left = await leaveWorkspace(1, {});
    await openJobWorkspace(root, { id: 'job_1', runs: 2 });
    expect(await names()).not.toContain(left);
  });
});

describe('removeJobWorkspaces', () => {
  it('The end of a run removes kept takes and earlier workspaces, but not that of a retry that began at once.', async () => {
    await leaveWorkspace(1);
    const retry = await leaveWorkspace(3, { host: 'another-container' });
    await writeFile(join(root, 'job_1', 'kept-take.mp4'), '');
    await removeJobWorkspaces(root, { id: 'job_1', runs: 2 });
    expect(await names()).toEqual([retry]);
    await removeJobWorkspaces(root, { id: 'job_1', runs: 3 });
    await removeJobWorkspaces(root, { id: 'job_1', runs: 3 });
    expect(await readdir(root)).toEqual([]);
  });
});

/** Creates the workspace of a run of another process, which was killed unless `change` names a living one. */
async function leaveWorkspace(
  runs: number,
  change: Partial<ProcessOwner> = { pid: spawnSync('true').pid },
): Promise<string> {
  const name = `${runs}-${processFolderName({ ...(await thisProcess()), ...change })}`;
  await mkdir(join(root, 'job_1', name), { recursive: true });
  return name;
}

async function names(): Promise<readonly string[]> {
  return (await readdir(join(root, 'job_1'))).toSorted();
}

describe('sweepProcessWorkspaces', () => {
  /** Returns whether the workspace of such a process exists after a sweep. */
  async function outlivesSweep(change: Partial<ProcessOwner>): Promise<boolean> {
    const name = processFolderName({ ...(await thisProcess()), ...change });
    await mkdir(join(root, name));
    await sweepProcessWorkspaces(root);
    return (await readdir(root)).includes(name);
  }

  it('The workspace of a living process is kept.', async () => {
    const workspace = await openProcessWorkspace(root);
    await sweepProcessWorkspaces(root);
    expect(await readdir(workspace.path)).toEqual([]);
  });

  it('The workspace of a dead process is removed.', async () => {
    expect(await outlivesSweep({ pid: spawnSync('true').pid })).toBe(false);
  });

  it.runIf(process.platform === 'linux')(
    'The workspace of a process whose number another one has now is removed.',
    async () => {
      expect(await outlivesSweep({ startTicks: 1 })).toBe(false);
    },
  );

  it('The workspace of a living process with an unknown start time is kept.', async () => {
    expect(await outlivesSweep({ startTicks: null })).toBe(true);
  });

  it('The workspace of a job run is removed when its process is dead, and kept while it lives, with kept takes.', async () => {
    const dead = processFolderName({ ...(await thisProcess()), pid: spawnSync('true').pid });
    const living = await openJobWorkspace(root, { id: 'job_1', runs: 2 });
    for (const path of [join('job_1', `1-${dead}`), join('job_2', `1-${dead}`), join('job_3', `1-${dead}`)])
      await mkdir(join(root, path), { recursive: true });
    await writeFile(join(root, 'job_3', 'kept-take.mp4'), 'a take');
    await sweepProcessWorkspaces(root);
    expect((await readdir(root)).toSorted()).toEqual(['job_1', 'job_3']);
    expect(await readdir(join(root, 'job_1'))).toEqual([basename(living.path)]);
    expect(await readdir(join(root, 'job_3'))).toEqual(['kept-take.mp4']);
    await living.remove();
  });

  it('The workspace of another host is kept.', async () => {
    expect(await outlivesSweep({ host: 'another-container', pid: spawnSync('true').pid })).toBe(true);
  });
});
