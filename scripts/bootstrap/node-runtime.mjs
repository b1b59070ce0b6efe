import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The oldest Node that runs the project's TypeScript directly. */
export const oldestNodeMajor = 24;

/**
 * Finds the Node that runs the project: that of this process if it is new enough, else the one among the packages.
 * @param {string} projectDir
 * @returns {string | undefined} path of the executable; undefined when there is none
 */
export function findNode(projectDir) {
  const [major] = process.versions.node.split('.');
  if (Number(major) >= oldestNodeMajor) return process.execPath;
  const packaged = join(projectDir, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return existsSync(packaged) ? packaged : undefined;
}
