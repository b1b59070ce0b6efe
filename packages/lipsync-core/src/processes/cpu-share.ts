import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * CPUs that this process may use at a time: those of its affinity mask that are online, or a fraction of them under the
 * quota of a container. Reads the quotas of all enclosing cgroups, version 1 and 2, because Node rounds a quota down and reads only
 * one of them. `root` is the root of the file system.
 */
export async function readCpuShare(root = '/'): Promise<number> {
  const cores = (await countCores(root)) ?? availableParallelism();
  const groups = (await read(join(root, 'proc/self/cgroup'))).split('\n');
  const quotas = await Promise.all(groups.map((group) => readQuotas(root, group)));
  return Math.min(cores, ...quotas.flat());
}

/**
 * Threads for a model that may use the whole share of this process, at least 1. A fraction of a CPU counts as one more
 * thread: the quota limits the sum of all threads, and a model with one thread less leaves the fraction unused. More
 * threads than CPUs make a model slower than a single one.
 */
export async function countModelThreads(root?: string): Promise<number> {
  return Math.max(1, Math.ceil(await readCpuShare(root)));
}

/**
 * Online CPUs of the affinity mask; undefined when it is not listed. The mask of a virtual machine to which CPUs can be
 * added contains all that it may ever have.
 */
async function countCores(root: string): Promise<number | undefined> {
  const status = await read(join(root, 'proc/self/status'));
  const allowed = listedCpus(/^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1] ?? '');
  const online = new Set(listedCpus(await read(join(root, 'sys/devices/system/cpu/online'))));
  const usable = online.size === 0 ? allowed : allowed.filter((cpu) => online.has(cpu));
  return usable.length > 0 ? usable.length : undefined;
}

/** The numbers of a list such as `0-3,8`. */
function listedCpus(list: string): readonly number[] {
  const ranges = list
    .trim()
    .split(',')
    .filter((range) => range !== '');
  return ranges.flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}

/** The quotas in CPUs of a cgroup, given as a line of `/proc/self/cgroup`, and of all groups that contain it. */
async function readQuotas(root: string, line: string): Promise<readonly number[]> {
  const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
  if (controllers === undefined || path === undefined) return [];
  const isSecondVersion = controllers === '';
  if (!isSecondVersion && !controllers.split(',').includes('cpu')) return [];
  const mount = join(root, 'sys/fs/cgroup', controllers);
  const quotas: number[] = [];
  // Inside of a container, the path may be that of the host, of which only the top is visible.
  for (let folder = path; ; folder = dirname(folder)) {
    const group = join(mount, folder);
    const text = isSecondVersion
      ? await read(join(group, 'cpu.max'))
      : `${await read(join(group, 'cpu.cfs_quota_us'))} ${await read(join(group, 'cpu.cfs_period_us'))}`;
    // Without a quota it is `max`, −1 or missing.
    const [quota = NaN, period = NaN] = text.trim().split(/\s+/).map(Number);
    if (quota > 0 && period > 0) quotas.push(quota / period);
    if (folder === '/') return quotas;
  }
}

/** Empty for a file that cannot be read. */
function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
