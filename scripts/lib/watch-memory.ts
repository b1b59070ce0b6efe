import { readFileSync } from 'node:fs';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const intervalMs = 250;
const pageKib = 4;

/** Watches the resident memory of all descendants of a process (Linux). `peakMib` is NaN where it cannot be read. */
export function watchMemory(ancestor: number): { peakMib(): number; seriesMib(): readonly number[]; end(): void } {
  const series: number[] = [];
  const timer = setInterval(() => series.push(descendantsMib(ancestor)), intervalMs);
  return { peakMib: () => Math.max(...series), seriesMib: () => series, end: () => clearInterval(timer) };
}

function descendantsMib(ancestor: number): number {
  return descendantsOf(ancestor).reduce((sum, { pid }) => sum + residentMib(pid), 0);
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
