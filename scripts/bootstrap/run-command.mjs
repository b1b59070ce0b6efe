import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/**
 * Runs the command with this terminal, passes signals on, and resolves with the exit status to leave with
 * (128 + signal number when a signal ended it, as shells do).
 * @param {string} node the executable
 * @param {readonly string[]} args
 * @param {{ projectDir: string, cwd: string, environment: NodeJS.ProcessEnv, followsParent: boolean }} options
 * @returns {Promise<number>}
 */
export function runCommand(node, args, { projectDir, cwd, environment, followsParent }) {
  const folders = [dirname(node), join(projectDir, 'node_modules', '.bin'), environment.PATH ?? ''];
  const child = spawn(node, args, {
    // The channel carries nothing: its end tells the command that this process is gone.
    stdio: followsParent ? ['inherit', 'inherit', 'inherit', 'ipc'] : 'inherit',
    cwd,
    env: { ...environment, PATH: folders.join(delimiter) },
  });
  passSignals(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** @param {import('node:child_process').ChildProcess} child */
function passSignals(child) {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      // Control-C in a terminal reaches every process of the group by itself; a second one would mean "at once".
      const isAlreadySent = signal === 'SIGINT' && process.stdin.isTTY;
      if (!isAlreadySent) child.kill(signal);
    });
  }
}
