import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { countModelThreads, readCpuShare } from './cpu-share.ts';

const eightCores = 'Name:\tnode\nCpus_allowed_list:\t0-3,8,10-12\n';

async function rootWith(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'lipsync-cpu-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries({ 'proc/self/status': eightCores, ...files })) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return root;
}

async function shareWith(files: Readonly<Record<string, string>>): Promise<number> {
  return readCpuShare(await rootWith(files));
}

it.each([
  ['without a quota', { 'sys/fs/cgroup/pod/box/cpu.max': 'max 100000\n' }, 8],
  ['with a fractional quota', { 'sys/fs/cgroup/pod/box/cpu.max': '150000 100000\n' }, 1.5],
  ['with a quota below one CPU', { 'sys/fs/cgroup/pod/box/cpu.max': '25000 100000\n' }, 0.25],
  ['with a quota above the affinity mask', { 'sys/fs/cgroup/pod/box/cpu.max': '1600000 100000\n' }, 8],
  [
    'with a smaller quota of an outer group',
    { 'sys/fs/cgroup/pod/box/cpu.max': '400000 100000\n', 'sys/fs/cgroup/pod/cpu.max': '250000 100000\n' },
    2.5,
  ],
  [
    'with a larger quota of an outer group',
    { 'sys/fs/cgroup/pod/box/cpu.max': '150000 100000\n', 'sys/fs/cgroup/pod/cpu.max': '600000 100000\n' },
    1.5,
  ],
])('The share of a cgroup of version 2 %s is found.', async (_, files, expected) => {
  expect(await shareWith({ 'proc/self/cgroup': '0::/pod/box\n', ...files })).toBe(expected);
});

it('The share of a cgroup of version 1 is found, also when only its mount is visible.', async () => {
  const group = { 'proc/self/cgroup': '4:memory:/\n2:cpu,cpuacct:/docker/0123\n0::/\n' };
  const folder = 'sys/fs/cgroup/cpu,cpuacct';
  const period = { [`${folder}/cpu.cfs_period_us`]: '100000\n' };
  expect(await shareWith({ ...group, ...period, [`${folder}/cpu.cfs_quota_us`]: '150000\n' })).toBe(1.5);
  expect(await shareWith({ ...group, ...period, [`${folder}/cpu.cfs_quota_us`]: '-1\n' })).toBe(8);
});

it('CPUs of the affinity mask that are not online are not counted.', async () => {
  const noQuota = { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': 'max 100000\n' };
  expect(await shareWith({ ...noQuota, 'sys/devices/system/cpu/online': '0-1,3,5-9\n' })).toBe(4);
  expect(await shareWith({ ...noQuota, 'sys/devices/system/cpu/online': '0-127\n' })).toBe(8);
});

it.each([
  ['max', 8],
  ['250000', 3],
  ['200000', 2],
  ['150000', 2],
  ['25000', 1],
])('A quota of %s µs in 100 ms gives a model %i threads.', async (quota, threads) => {
  const files = { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': `${quota} 100000\n` };
  expect(await countModelThreads(await rootWith(files))).toBe(threads);
});

it('The share of this process is at least a part of a CPU.', async () => {
  expect(await readCpuShare()).toBeGreaterThan(0);
});
