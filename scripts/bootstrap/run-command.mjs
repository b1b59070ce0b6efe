import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/**
 * Runs the command in this terminal and forwards signals. Resolves with its exit status, or with 128 + signal number if a
 * signal ended it, as in a shell.
 * @param {string} node the executable
 * @param {readonly string[]} args
 * @param {{ projectDir: string, cwd: string, environment: NodeJS.ProcessEnv, followsParent: boolean }} options
 * @returns {Promise<number>}
 */
export function runCommand(node, args, { projectDir, cwd, environment, followsParent }) {
  const folders = [dirname(node), join(projectDir, 'node_modules', '.bin'), environment.PATH ?? ''];
  const child = spawn(node, args, {
    // The channel carries no messages: it closes when this process ends.
    stdio: followsParent ? ['inherit', 'inherit', 'inherit', 'ipc'] : 'inherit',
    cwd,
    env: { ...environment, PATH: folders.join(delimiter) },
  });
  forwardSignals(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** @param {import('node:child_process').ChildProcess} child */
function forwardSignals(child) {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      // Control-C in a terminal reaches the whole process group; a second signal would end the command immediately.
      const isAlreadySent = signal === 'SIGINT' && process.stdin.isTTY;
      if (!isAlreadySent) child.kill(signal);
    });
  }
}
