import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** About 100 MB. A few thousand are in use; the rest belong to moved files, older packages and temporary test files. */
const maxModules = 20_000;

/**
 * Returns the folder of Node's compile cache, which speeds up the start of every process and thread. Deletes the folder
 * first if it has grown too large.
 * @param {string} projectDir
 * @returns {string}
 */
export function compiledModulesFolder(projectDir) {
  const folder = join(projectDir, '.cache', 'compiled');
  try {
    if (countModules(folder) > maxModules) rmSync(folder, { recursive: true, force: true });
  } catch {
    // The folder does not exist yet, or another command writes to it; the next command deletes it.
  }
  return folder;
}

/**
 * Counts files over one folder per Node version.
 * @param {string} folder
 */
function countModules(folder) {
  return readdirSync(folder).reduce((sum, version) => sum + readdirSync(join(folder, version)).length, 0);
}
