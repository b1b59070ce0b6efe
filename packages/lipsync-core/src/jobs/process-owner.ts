import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** A process for as long as it lives: its number alone is used again by others, and by other machines at the same time. */
export interface ProcessOwner {
  readonly pid: number;
  /** When it began, in the kernel's ticks since boot; null where the system does not tell. */
  readonly startTicks: number | null;
  /** The host's name, in letters that a file's name may hold. */
  readonly host: string;
}

/** The process that runs this. */
export async function thisProcess(): Promise<ProcessOwner> {
  return { pid: process.pid, startTicks: await startTicksOf(process.pid), host: thisHost() };
}

/** Whether the process is known to have ended. Of other hosts, containers included, nothing is known. */
export async function isGone(owner: ProcessOwner): Promise<boolean> {
  if (owner.host !== thisHost()) return false;
  if (!isRunning(owner.pid)) return true;
  const startTicks = await startTicksOf(owner.pid);
  return startTicks !== null && owner.startTicks !== null && startTicks !== owner.startTicks;
}

function thisHost(): string {
  return encodeURIComponent(hostname());
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, but belongs to someone else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Field 22 of /proc/<pid>/stat (proc(5)). Counted from the end of field 2, a name that may hold spaces and brackets. */
async function startTicksOf(pid: number): Promise<number | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const ticks = Number.parseInt(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '', 10);
  return Number.isNaN(ticks) ? null : ticks;
}
