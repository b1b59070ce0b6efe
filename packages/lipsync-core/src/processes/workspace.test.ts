import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess, type ProcessOwner } from './process-owner.ts';
import { openJobWorkspace, openProcessWorkspace, processFolderName, sweepProcessWorkspaces } from './workspace.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lipsync-workspace-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

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
