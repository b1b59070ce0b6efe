import { readFileSync } from 'node:fs';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const intervalMs = 250;
const pageKib = 4;

/** Watches the resident memory of all descendants of a process together (Linux), the process itself with them if wanted. */
export function watchMemory(ancestor: number, { withItself = false } = {}): { peakMib(): number; seriesMib(): readonly number[]; end(): void } {
  const series: number[] = [];
  const timer = setInterval(() => series.push(descendantsMib(ancestor) + (withItself ? residentMib(ancestor) : 0)), intervalMs);
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
