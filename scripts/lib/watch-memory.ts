import { readFileSync } from 'node:fs';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

const intervalMs = 250;

/**
 * Watches the memory that all descendants of a process hold together (Linux), the process itself with them if wanted.
 * What several of them share, such as programs, libraries and frames, counts once.
 */
export function watchMemory(ancestor: number, { withItself = false } = {}): { peakMib(): number; seriesMib(): readonly number[]; end(): void } {
  const series: number[] = [];
  const timer = setInterval(() => series.push(descendantsMib(ancestor) + (withItself ? heldMib(ancestor) : 0)), intervalMs);
  return { peakMib: () => Math.max(...series), seriesMib: () => series, end: () => clearInterval(timer) };
}

function descendantsMib(ancestor: number): number {
  return descendantsOf(ancestor).reduce((sum, { pid }) => sum + heldMib(pid), 0);
}

/** A process's own pages, and its part of those that it shares. */
function heldMib(pid: number): number {
  const [, kib] = /^Pss:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`)) ?? [];
  return Number(kib ?? 0) / 1024;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
