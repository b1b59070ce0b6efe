import { readFileSync } from 'node:fs';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const intervalMs = 1_000;

/**
 * Watches the memory that all descendants of a process hold together (Linux), the process itself with them if wanted.
 * What several of them share, such as programs, libraries and frames, counts once.
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

/** A process's own pages, and its part of those that it shares. */
export function heldMib(pid: number): number {
  const [, kib] = /^Pss:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`)) ?? [];
  return Number(kib ?? 0) / 1024;
}

/** Processor time that a process has used so far, in seconds (Linux). */
export function processorSeconds(pid: number): number {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it, in hundredths.
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
