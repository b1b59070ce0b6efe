import { join } from 'node:path';

/**
 * @typedef {object} Command
 * @property {string} purpose one line for the list of commands
 * @property {string} [usage] arguments, for the list of commands; without it the command prints its own help
 * @property {string} entry file that Node 24 runs, relative to the project
 * @property {readonly string[]} [args] arguments before the caller's
 * @property {'never' | 'always' | 'without-redis-url'} redis when the command starts its own Redis
 * @property {boolean} media whether ffmpeg and ffprobe are needed
 * @property {boolean} [followsParent] the command stops when this process ends, which it detects by the IPC channel
 * @property {boolean} [keepsFolder] relative paths in the arguments are resolved in the caller's folder, not in the project's
 */

/** @type {Readonly<Record<string, Command>>} */
export const commands = Object.freeze({
  demo: {
    purpose: 'runs one job on the sample through the whole service and prints the path of the video',
    usage: '[--heygen-standin]',
    entry: 'scripts/demo.ts',
    redis: 'without-redis-url',
    media: true,
    followsParent: true,
  },
  start: {
    purpose: 'runs API, worker and, without REDIS_URL, a private Redis until it is stopped',
    usage: '',
    entry: 'scripts/start.ts',
    redis: 'without-redis-url',
    media: true,
    followsParent: true,
  },
  api: {
    purpose: 'runs the API alone, for a service on several machines; needs REDIS_URL',
    usage: '',
    entry: 'scripts/start.ts',
    args: ['api'],
    redis: 'never',
    media: false,
    followsParent: true,
  },
  worker: {
    purpose: 'runs a worker alone, for a service on several machines; needs REDIS_URL',
    usage: '[--lanes cloud,render]',
    entry: 'scripts/start.ts',
    args: ['worker'],
    redis: 'never',
    media: true,
    followsParent: true,
  },
  lipsync: {
    purpose:
      'the command line: generate, batch, submit, jobs, cancel, quality, verify, models, doctor; --help lists the flags',
    entry: 'packages/lipsync-core/src/cli/main.ts',
    redis: 'never',
    media: true,
    keepsFolder: true,
  },
  'heygen-standin': {
    purpose: 'runs a local stand-in for HeyGen, for integration tests',
    entry: 'packages/heygen-standin/src/main.ts',
    redis: 'never',
    media: true,
    followsParent: true,
  },
  test: {
    purpose: 'runs every test that needs no GPU and no key, or those in PATH; without other material some are skipped',
    usage: '[PATH…]',
    entry: 'node_modules/vitest/vitest.mjs',
    args: ['run'],
    redis: 'always',
    media: true,
  },
  check: {
    purpose: 'checks types, lint, format, import rules, vocabulary, third-party notices and unused code',
    usage: '',
    entry: 'scripts/check.ts',
    redis: 'never',
    media: false,
  },
  chart: {
    purpose: 'renders the Helm chart with its sets of values and validates the objects',
    usage: '',
    entry: 'scripts/chart.ts',
    redis: 'never',
    media: false,
  },
  bench: {
    purpose: 'measures speed by stage, or against another revision',
    usage:
      '[preview | wav2lip | syncnet | gpu | compare REV | first-frame [REV] | accept REV | together REV | quality | queue]',
    entry: 'scripts/bench.ts',
    redis: 'never',
    media: true,
  },
  soak: {
    purpose: 'runs long tests: killed processes, memory, load, provider failures; an unknown NAME lists them',
    usage: '[NAME…]',
    entry: 'scripts/soak.ts',
    redis: 'always',
    media: true,
  },
  judge: {
    purpose: 'makes a preview of every clip in a folder and measures it',
    usage: 'FOLDER [NAME_PART]',
    entry: 'scripts/judge.ts',
    redis: 'never',
    media: true,
    keepsFolder: true,
  },
  scoreboard: {
    purpose: 'renders clips by every configured provider and rates the takes: quality, speed, cost',
    usage: 'CLIPS… [--speech FILE] [--provider ID] [--max-cost-usd N] [--keep FOLDER] [--report PAGE.html] [--json]',
    entry: 'scripts/scoreboard.ts',
    redis: 'never',
    media: true,
    keepsFolder: true,
  },
  'contact-sheet': {
    purpose: 'draws frames of a clip before and after',
    usage: 'BEFORE AFTER OUT.jpg',
    entry: 'scripts/contact-sheet.ts',
    redis: 'never',
    media: true,
    keepsFolder: true,
  },
});

/**
 * The list of commands with their purposes, for people.
 * @returns {string}
 */
export function listCommands() {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { purpose }]) => `  ${name.padEnd(width)}  ${purpose}`);
  return `Commands, each as npm run NAME [-- ARGUMENTS]:\n${lines.join('\n')}`;
}

/**
 * The help of a command that has none of its own; undefined for the others.
 * @param {string} name
 * @param {Command} command
 * @returns {string | undefined}
 */
export function helpOf(name, { purpose, usage }) {
  if (usage === undefined) return undefined;
  return `npm run ${name}${usage === '' ? '' : ` -- ${usage}`}\n  ${purpose}`;
}

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
