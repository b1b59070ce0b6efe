import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

/** Ids of the descendants of this process whose command line contains `text`. */
export function descendantsRunning(text: string): number[] {
  return descendantsOf(process.pid)
    .filter(({ command }) => command.includes(text))
    .map(({ pid }) => pid);
}
