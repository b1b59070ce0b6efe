import { readdir, readFile } from 'node:fs/promises';

/** What a child process of this one does. */
export type ChildRole = 'render' | 'engine' | 'ffmpeg' | 'other';

export interface ProcessMemory {
  /** `self` is this process. */
  readonly role: 'self' | ChildRole;
  /** Resident set size of all processes of this role. */
  readonly residentBytes: number;
}

const roles: readonly (readonly [RegExp, ChildRole])[] = [
  // First, because its arguments name files of users.
  [/^(?:[^\0]*\/)?ff(?:mpeg|probe)\0/, 'ffmpeg'],
  [/\/render-process\.\w+\0/, 'render'],
  [/\/engine-process\.\w+\0/, 'engine'],
];

/** Memory of this process and of its descendants by role; without /proc only of this process. */
export async function readProcessMemory(): Promise<readonly ProcessMemory[]> {
  const sums = new Map<ProcessMemory['role'], number>([['self', process.memoryUsage.rss()]]);
  for (const { pid, residentBytes } of await listDescendants(process.pid)) {
    const role = roleOf(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
    sums.set(role, (sums.get(role) ?? 0) + residentBytes);
  }
  return Array.from(sums, ([role, residentBytes]) => ({ role, residentBytes }));
}

/** Pure. */
export function roleOf(commandLine: string): ChildRole {
  return roles.find(([pattern]) => pattern.test(commandLine))?.[1] ?? 'other';
}

interface RunningProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly residentBytes: number;
}

async function listDescendants(ancestorPid: number): Promise<readonly RunningProcess[]> {
  const names = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const running = (await Promise.all(names.map(readProcess))).filter((found) => found !== undefined);
  const found: RunningProcess[] = [];
  const ancestors = new Set([ancestorPid]);
  for (const pid of ancestors) {
    for (const child of running.filter(({ parentPid }) => parentPid === pid)) {
      // A set that grows while it is iterated is walked to its end.
      ancestors.add(child.pid);
      found.push(child);
    }
  }
  return found;
}

/** Memory of one process without its children; 0 when it has ended or the system has no /proc. */
export async function readResidentBytes(pid: number): Promise<number> {
  return (await readProcess(`${pid}`))?.residentBytes ?? 0;
}

/** Undefined for a process that has ended. */
async function readProcess(name: string): Promise<RunningProcess | undefined> {
  const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
  const parentPid = /^PPid:\s*(\d+)/m.exec(status)?.[1];
  const residentKib = /^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? '0';
  return parentPid === undefined
    ? undefined
    : { pid: Number(name), parentPid: Number(parentPid), residentBytes: Number(residentKib) * 1_024 };
}
