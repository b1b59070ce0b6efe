import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

const projectDir = join(import.meta.dirname, '..', '..');

/** Unpacks a revision into `folder` without adding a Git worktree. Returns the folder. */
export async function checkOut(revision: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const unpack = 'set -o pipefail; git archive "$1" | tar -x -C "$2"';
  const child = spawn('bash', ['-c', unpack, 'bash', revision, folder], {
    cwd: projectDir,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await exitOf(child, 'git archive');
  return folder;
}

/** Resolves when the process exits with 0; throws an error with its name and exit code otherwise. */
export function exitOf(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${name} ended with ${signal ?? `exit code ${code}`}`)),
    );
  });
}
