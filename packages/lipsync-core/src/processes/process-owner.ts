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

/** A zombie stays for as long as its parent does not ask for it; in a container without an init, for ever. */
const endedStates = ['Z', 'X'];

/** The process that runs this. */
export async function thisProcess(): Promise<ProcessOwner> {
  return { pid: process.pid, startTicks: (await statOf(process.pid)).startTicks, host: thisHost() };
}

/** Whether the process is known to have ended. Of other hosts, containers included, nothing is known. */
export async function isGone(owner: ProcessOwner): Promise<boolean> {
  if (owner.host !== thisHost()) return false;
  if (!isKnown(owner.pid)) return true;
  const { state, startTicks } = await statOf(owner.pid);
  if (endedStates.includes(state)) return true;
  return startTicks !== null && owner.startTicks !== null && startTicks !== owner.startTicks;
}

function thisHost(): string {
  return encodeURIComponent(hostname());
}

/** Also true of one that has ended and whose parent has not asked how. */
function isKnown(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, but belongs to someone else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Fields 3 and 22 of /proc/<pid>/stat (proc(5)). Counted from the end of field 2, a name that may hold spaces and brackets. */
async function statOf(pid: number): Promise<{ readonly state: string; readonly startTicks: number | null }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number.parseInt(fields[19] ?? '', 10);
  return { state: fields[0] ?? '', startTicks: Number.isNaN(ticks) ? null : ticks };
}
