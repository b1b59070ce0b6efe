import { join } from 'node:path';

/**
 * @typedef {object} Command
 * @property {string} entry file that Node 24 runs, relative to the project
 * @property {readonly string[]} [args] arguments before the caller's
 * @property {'never' | 'always' | 'without-redis-url'} redis when the command starts its own Redis
 * @property {boolean} media whether ffmpeg and ffprobe are needed
 * @property {boolean} [followsParent] the command stops when this process ends, which it detects by the IPC channel
 * @property {boolean} [keepsFolder] relative paths in the arguments are resolved in the caller's folder, not in the project's
 */

/** @type {Readonly<Record<string, Command>>} */
export const commands = Object.freeze({
  demo: { entry: 'scripts/demo.ts', redis: 'without-redis-url', media: true, followsParent: true },
  start: { entry: 'scripts/start.ts', redis: 'without-redis-url', media: true, followsParent: true },
  test: { entry: 'node_modules/vitest/vitest.mjs', args: ['run'], redis: 'always', media: true },
  lipsync: { entry: 'packages/lipsync-core/src/cli/main.ts', redis: 'never', media: true, keepsFolder: true },
  bench: { entry: 'scripts/bench.ts', redis: 'never', media: true },
  soak: { entry: 'scripts/soak.ts', redis: 'always', media: true },
  judge: { entry: 'scripts/judge.ts', redis: 'never', media: true, keepsFolder: true },
  'contact-sheet': { entry: 'scripts/contact-sheet.ts', redis: 'never', media: true, keepsFolder: true },
  'heygen-standin': { entry: 'packages/heygen-standin/src/main.ts', redis: 'never', media: true, followsParent: true },
  check: { entry: 'scripts/check.ts', redis: 'never', media: false },
});

/**
 * The programs that must be on the PATH before `command` can run.
 * @param {Command} command
 * @param {boolean} hasRedisUrl whether a Redis to use is configured
 * @returns {string[]}
 */
export function programsNeeded(command, hasRedisUrl) {
  const startsRedis = command.redis === 'always' || (command.redis === 'without-redis-url' && !hasRedisUrl);
  return [...(command.media ? ['ffmpeg', 'ffprobe'] : []), ...(startsRedis ? ['redis-server'] : [])];
}

/**
 * The caller's working folder. npm runs scripts in the folder of their package and sets INIT_CWD to the caller's.
 * @param {NodeJS.ProcessEnv} environment
 * @returns {string}
 */
export function callerFolder(environment) {
  return environment.INIT_CWD || process.cwd();
}

/**
 * The environment of a command. A command that runs in the caller's folder receives the project folder, so that it uses
 * the same settings, data and ledger wherever it is called.
 * @param {string} projectDir
 * @param {Command} command
 * @param {NodeJS.ProcessEnv} environment
 * @returns {NodeJS.ProcessEnv}
 */
export function commandEnvironment(projectDir, command, environment) {
  return command.keepsFolder === true ? { ...environment, LIPSYNC_PROJECT_FOLDER: projectDir } : environment;
}

/**
 * @param {string} projectDir
 * @param {Command} command
 * @param {readonly string[]} callerArgs
 * @returns {string[]}
 */
export function nodeArguments(projectDir, command, callerArgs) {
  return [join(projectDir, command.entry), ...(command.args ?? []), ...callerArgs];
}
