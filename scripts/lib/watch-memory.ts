import { readdirSync, readFileSync } from 'node:fs';

const intervalMs = 250;
const pageKib = 4;

/** Watches the resident memory of all descendants of a process (Linux). `peakMib` is NaN where it cannot be read. */
export function watchMemory(ancestor: number): { peakMib(): number; seriesMib(): readonly number[]; end(): void } {
  const series: number[] = [];
  const timer = setInterval(() => series.push(descendantsMib(ancestor)), intervalMs);
  return { peakMib: () => Math.max(...series), seriesMib: () => series, end: () => clearInterval(timer) };
}

function descendantsMib(ancestor: number): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid)) parents.set(pid, readParent(pid));
  }
  const isDescendant = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && parent > 0 && (parent === ancestor || isDescendant(parent));
  };
  return [...parents.keys()].filter(isDescendant).reduce((sum, pid) => sum + residentMib(pid), 0);
}

function readParent(pid: number): number {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  // The second field is a name in parentheses that may hold anything; the parent is the second field after it.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function residentMib(pid: number): number {
  return (Number(readOrEmpty(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * pageKib) / 1024;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
