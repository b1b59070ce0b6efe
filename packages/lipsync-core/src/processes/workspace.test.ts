import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess, type ProcessOwner } from './process-owner.ts';
import {
  createFolder,
  openJobWorkspace,
  openProcessWorkspace,
  processFolderName,
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

  it('A workspace replaces those of earlier runs, but not that of a later run.', async () => {
    const first = await openJobWorkspace(root, { id: 'job_1', runs: 9 });
    const third = await openJobWorkspace(root, { id: 'job_1', runs: 11 });
    await expect(readdir(first.path)).rejects.toMatchObject({ code: 'ENOENT' });
    await openJobWorkspace(root, { id: 'job_1', runs: 10 });
    expect(await readdir(third.path)).toEqual([]);
  });
});

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

  it.runIf(process.platform === 'linux')('go when another process has their number now', async () => {
    expect(await outlivesSweep({ startTicks: 1 })).toBe(false);
  });

  it('The workspace of a living process with an unknown start time is kept.', async () => {
    expect(await outlivesSweep({ startTicks: null })).toBe(true);
  });

  it('The workspace of another host is kept.', async () => {
    expect(await outlivesSweep({ host: 'another-container', pid: spawnSync('true').pid })).toBe(true);
  });
});
