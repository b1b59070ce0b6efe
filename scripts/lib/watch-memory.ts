import { readFileSync } from 'node:fs';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const intervalMs = 1_000;

/**
 * Samples the total memory of all descendants of a process (Linux), optionally including the process itself. Memory
 * that several processes share, such as programs, libraries and frames, counts once.
 */
export function watchMemory(
  ancestor: number,
  { withItself = false } = {},
): { peakMib(): number; seriesMib(): readonly number[]; end(): void } {
  const series: number[] = [];
  const timer = setInterval(
    () => series.push(descendantsMib(ancestor) + (withItself ? heldMib(ancestor) : 0)),
    intervalMs,
  );
  return { peakMib: () => Math.max(...series), seriesMib: () => series, end: () => clearInterval(timer) };
}

function descendantsMib(ancestor: number): number {
  return descendantsOf(ancestor).reduce((sum, { pid }) => sum + heldMib(pid), 0);
}

/** Proportional set size of a process: private memory and its share of shared memory. 0 if it has exited. */
export function heldMib(pid: number): number {
  const [, kib] = /^Pss:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`)) ?? [];
  return Number(kib ?? 0) / 1024;
}

/** CPU time that a process has used so far, in seconds (Linux). */
export function processorSeconds(pid: number): number {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  // User and system time are fields 14 and 15, in 1/100 s. The name in parentheses before them may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
