import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Identifies a process for its lifetime. The process id alone is reused, and is not unique across machines. */
export interface ProcessOwner {
  readonly pid: number;
  /** Start time in kernel ticks since boot; null on systems without /proc. */
  readonly startTicks: number | null;
  /** Host name, URI-encoded so that it can be part of a file name. */
  readonly host: string;
}

/** Zombie and dead. A zombie remains until its parent collects it; in a container without an init process, forever. */
const endedStates = ['Z', 'X'];

/** Returns the identity of the current process. */
export async function thisProcess(): Promise<ProcessOwner> {
  return { pid: process.pid, startTicks: (await readStat(process.pid)).startTicks, host: encodedHostname() };
}

let current: ProcessOwner | undefined;

/** The same without waiting, read once. */
export function currentProcess(): ProcessOwner {
  current ??= { pid: process.pid, startTicks: parseStat(readOwnStat()).startTicks, host: encodedHostname() };
  return current;
}

function readOwnStat(): string {
  try {
    return readFileSync('/proc/self/stat', 'utf8');
  } catch {
    return '';
  }
}

/** Whether the process has certainly ended. False for processes of other hosts, including containers. */
export async function isGone(owner: ProcessOwner): Promise<boolean> {
  if (owner.host !== encodedHostname()) return false;
  if (!exists(owner.pid)) return true;
  const { state, startTicks } = await readStat(owner.pid);
  if (endedStates.includes(state)) return true;
  return startTicks !== null && owner.startTicks !== null && startTicks !== owner.startTicks;
}

function encodedHostname(): string {
  return encodeURIComponent(hostname());
}

/** True also for a zombie. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process runs as another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/**
 * Reads fields 3 and 22 of /proc/<pid>/stat (proc(5)), counted from the end of field 2, which may contain spaces and
 * parentheses.
 */
async function readStat(pid: number): Promise<{ readonly state: string; readonly startTicks: number | null }> {
  return parseStat(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''));
}

function parseStat(stat: string): { readonly state: string; readonly startTicks: number | null } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number.parseInt(fields[19] ?? '', 10);
  return { state: fields[0] ?? '', startTicks: Number.isNaN(ticks) ? null : ticks };
}
