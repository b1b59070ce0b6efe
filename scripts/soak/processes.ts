import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

/** Ids of the descendants of this process whose command line contains `text`. */
export function descendantsRunning(text: string): number[] {
  return descendantsOf(process.pid)
    .filter(({ command }) => command.includes(text))
    .map(({ pid }) => pid);
}

/** Kills these processes with SIGKILL and returns their number. */
export function killRunning(text: string): number {
  const pids = descendantsRunning(text);
  for (const pid of pids) kill(pid);
  return pids.length;
}

/** Ignores a process that has ended since it was listed. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
