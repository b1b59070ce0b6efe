import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Package that contains a program, by package manager. */
const packageOf = /** @type {const} */ ({
  apt: { ffmpeg: 'ffmpeg', ffprobe: 'ffmpeg', 'redis-server': 'redis-server' },
  brew: { ffmpeg: 'ffmpeg', ffprobe: 'ffmpeg', 'redis-server': 'redis' },
});

/**
 * @typedef {object} Installer
 * @property {readonly (readonly string[])[]} steps argument lists, run in order
 * @property {string} line the same as a shell command
 * @property {boolean} allowed whether it can run now, without asking for a password
 */

/**
 * @param {string} program
 * @param {NodeJS.ProcessEnv} environment
 */
export function isOnPath(program, environment) {
  return (environment.PATH ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && isExecutable(join(folder, program)));
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Determines how to install the missing programs on this machine.
 * @param {readonly string[]} programs
 * @param {NodeJS.ProcessEnv} environment
 * @returns {Installer | undefined} undefined without a supported package manager
 */
export function installerFor(programs, environment) {
  if (process.platform === 'darwin' && isOnPath('brew', environment)) return brewInstaller(packages('brew', programs));
  if (isOnPath('apt-get', environment)) return aptInstaller(packages('apt', programs), environment);
  return undefined;
}

/**
 * @param {'apt' | 'brew'} manager
 * @param {readonly string[]} programs
 */
function packages(manager, programs) {
  /** @type {Readonly<Record<string, string>>} */
  const names = packageOf[manager];
  return [...new Set(programs.map((program) => names[program] ?? program))];
}

/**
 * @param {readonly string[]} names
 * @returns {Installer}
 */
function brewInstaller(names) {
  const step = ['brew', 'install', ...names];
  return { steps: [step], line: step.join(' '), allowed: true };
}

/**
 * @param {readonly string[]} names
 * @param {NodeJS.ProcessEnv} environment
 * @returns {Installer}
 */
function aptInstaller(names, environment) {
  const isRoot = process.getuid?.() === 0;
  const maySudo =
    !isRoot &&
    isOnPath('sudo', environment) &&
    spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 5000 }).status === 0;
  const prefix = isRoot ? [] : ['sudo', '-n'];
  const waitForOthers = ['-o', 'DPkg::Lock::Timeout=300'];
  const steps = [
    [...prefix, 'apt-get', 'update', '-q'],
    [
      ...prefix,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      ...waitForOthers,
      'install',
      '-y',
      '-q',
      '--no-install-recommends',
      ...names,
    ],
  ];
  const sudo = isRoot ? '' : 'sudo ';
  return {
    steps,
    line: `${sudo}apt-get update && ${sudo}apt-get install -y ${names.join(' ')}`,
    allowed: isRoot || maySudo,
  };
}

/**
 * Runs one step with its output on stderr.
 * @param {readonly string[]} step program and arguments
 * @param {{ cwd: string, environment: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} exit status; 127 when the program could not be started
 */
export function runStep([program = '', ...args], { cwd, environment }) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 2, 2], cwd, env: environment });
    child.once('error', () => resolve(127));
    child.once('exit', (status) => resolve(status ?? 1));
  });
}
