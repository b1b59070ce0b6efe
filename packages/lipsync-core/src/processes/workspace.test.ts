import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess, type ProcessOwner } from '../processes/process-owner.ts';
import { openJobWorkspace, openProcessWorkspace, processFolderName, sweepProcessWorkspaces } from './workspace.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lipsync-workspace-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('the workspace of a run', () => {
  it('removes itself and nothing of another run', async () => {
    const [first, second] = [
      await openJobWorkspace(root, { id: 'job_1', runs: 1 }),
      await openJobWorkspace(root, { id: 'job_1', runs: 1 }),
    ];
    await first.remove();
    expect(await readdir(second.path)).toEqual([]);
    await second.remove();
    expect(await readdir(root)).toEqual([]);
  });

  it('takes the place of earlier runs, but not of a later one that was quicker to begin', async () => {
    const first = await openJobWorkspace(root, { id: 'job_1', runs: 9 });
    const third = await openJobWorkspace(root, { id: 'job_1', runs: 11 });
    await expect(readdir(first.path)).rejects.toMatchObject({ code: 'ENOENT' });
    await openJobWorkspace(root, { id: 'job_1', runs: 10 });
    expect(await readdir(third.path)).toEqual([]);
  });
});

describe('workspaces of processes', () => {
  /** Whether the folder of such a process is there after a sweep. */
  async function outlivesSweep(change: Partial<ProcessOwner>): Promise<boolean> {
    const name = processFolderName({ ...(await thisProcess()), ...change });
    await mkdir(join(root, name));
    await sweepProcessWorkspaces(root);
    return (await readdir(root)).includes(name);
  }

  it('stay while their process lives', async () => {
    const workspace = await openProcessWorkspace(root);
    await sweepProcessWorkspaces(root);
    expect(await readdir(workspace.path)).toEqual([]);
  });

  it('go when their process is gone', async () => {
    expect(await outlivesSweep({ pid: spawnSync('true').pid })).toBe(false);
  });

  it.runIf(process.platform === 'linux')('go when another process has their number now', async () => {
    expect(await outlivesSweep({ startTicks: 1 })).toBe(false);
  });

  it('stay when the time at which their process began is not known', async () => {
    expect(await outlivesSweep({ startTicks: null })).toBe(true);
  });

  it('of another host stay, whatever runs here', async () => {
    expect(await outlivesSweep({ host: 'another-container', pid: spawnSync('true').pid })).toBe(true);
  });
});
