import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Pinned, so that installs are reproducible. */
const pnpmVersion = '12.21.0';

/** Command that runs the pinned pnpm; its arguments follow. */
export const pnpmCommand = Object.freeze(['npx', '-y', '--loglevel=error', `pnpm@${pnpmVersion}`]);

export const installCommand = Object.freeze([...pnpmCommand, 'install', '--frozen-lockfile']);

/** @param {string} projectDir */
const stampPath = (projectDir) => join(projectDir, 'node_modules', '.lipsync-installed');

/**
 * Whether node_modules matches the lockfile: it has the stamp of a bootstrap, or it is newer than the lockfile because pnpm
 * was run directly.
 * @param {string} projectDir
 */
export function arePackagesCurrent(projectDir) {
  const stamp = stampPath(projectDir);
  if (existsSync(stamp)) return readFileSync(stamp, 'utf8') === fingerprint(projectDir);
  return modifiedMs(join(projectDir, 'node_modules', '.modules.yaml')) > modifiedMs(join(projectDir, 'pnpm-lock.yaml'));
}

/** @param {string} projectDir */
export function forgetInstall(projectDir) {
  rmSync(stampPath(projectDir), { force: true });
  rmSync(join(projectDir, 'node_modules', '.modules.yaml'), { force: true });
}

/** @param {string} projectDir */
export function recordInstall(projectDir) {
  writeFileSync(stampPath(projectDir), fingerprint(projectDir));
}

/** @param {string} projectDir */
function fingerprint(projectDir) {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}\n`);
  for (const name of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(projectDir, name)));
  return hash.digest('hex');
}

/** @param {string} path */
function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
