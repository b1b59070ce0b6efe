import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** A few thousand are in use; modules that moved, older packages and what tests wrote elsewhere leave theirs behind. Some 100 MB. */
const mostModules = 20_000;

/**
 * The folder where Node keeps compiled modules between runs: hundreds are read, by each thread again. One that has grown
 * too large is removed first, and fills itself again with what is in use.
 * @param {string} projectDir
 * @returns {string}
 */
export function compiledModulesFolder(projectDir) {
  const folder = join(projectDir, '.cache', 'compiled');
  try {
    if (countModules(folder) > mostModules) rmSync(folder, { recursive: true, force: true });
  } catch {
    // Not there yet, or another command writes into it just now: then the next one removes it.
  }
  return folder;
}

/**
 * Node keeps a folder for each of its versions.
 * @param {string} folder
 */
function countModules(folder) {
  return readdirSync(folder).reduce((sum, version) => sum + readdirSync(join(folder, version)).length, 0);
}
