/**
 * `node scripts/bootstrap.mjs COMMAND [arguments]`: installs what COMMAND needs on a machine with any Node >= 18, then runs
 * it. Plain JavaScript, because nothing is installed yet. Announces each step on stderr.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  callerFolder,
  commandEnvironment,
  commands,
  helpOf,
  listCommands,
  nodeArguments,
  programsNeeded,
} from './bootstrap/commands.mjs';
import { compiledModulesFolder } from './bootstrap/compiled-modules.mjs';
import { waitForLock } from './bootstrap/lock-file.mjs';
import { arePackagesCurrent, forgetInstall, installCommand, recordInstall } from './bootstrap/node-packages.mjs';
import { findNode, oldestNodeMajor } from './bootstrap/node-runtime.mjs';
import { runCommand } from './bootstrap/run-command.mjs';
import { BootstrapError, printStatus } from './bootstrap/status.mjs';
import { installerFor, isOnPath, runStep } from './bootstrap/system-programs.mjs';

const installTimeoutMs = 15 * 60_000;
const projectDir = dirname(dirname(fileURLToPath(import.meta.url)));

/** @param {readonly string[]} programs */
const missingPrograms = (programs) => programs.filter((program) => !isOnPath(program, process.env));

/**
 * @param {string} name
 * @param {readonly string[]} callerArgs
 * @returns {Promise<number>} exit status
 */
async function main(name, callerArgs) {
  if (name === 'help') return printHelp(listCommands());
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new BootstrapError(`Unknown command "${name}".\n${listCommands()}`);
  const help = callerArgs.some((argument) => argument === '--help' || argument === '-h') && helpOf(name, command);
  if (help) return printHelp(help);
  const programs = programsNeeded(command, hasRedisUrl());
  if (missingPrograms(programs).length > 0 || !arePackagesCurrent(projectDir)) await install(programs);
  const node = findNode(projectDir);
  if (node === undefined) throw new BootstrapError(noNodeMessage());
  return runCommand(node, nodeArguments(projectDir, command, callerArgs), {
    projectDir,
    cwd: command.keepsFolder === true ? callerFolder(process.env) : projectDir,
    environment: {
      NODE_COMPILE_CACHE: compiledModulesFolder(projectDir),
      ...commandEnvironment(projectDir, command, process.env),
    },
    followsParent: command.followsParent === true,
  });
}

/**
 * Prints help on stdout, without installing anything.
 * @param {string} text
 */
function printHelp(text) {
  process.stdout.write(`${text}\n`);
  return 0;
}

/** Whether a Redis is configured, in the environment or in the .env file of the project. */
function hasRedisUrl() {
  if (process.env.REDIS_URL !== undefined) return process.env.REDIS_URL !== '';
  try {
    return /^\s*(?:export\s+)?REDIS_URL\s*=\s*["']?[^\s"'#]/m.test(readFileSync(join(projectDir, '.env'), 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Installs programs and packages. When several commands start at once, one installs and the others wait for it.
 * @param {readonly string[]} programs
 */
async function install(programs) {
  if (process.env.LIPSYNC_NO_INSTALL === '1')
    throw new BootstrapError(missingMessage(programs, 'LIPSYNC_NO_INSTALL=1 is set'));
  const lock = await waitForLock(join(projectDir, '.cache', 'bootstrap.lock'), {
    timeoutMs: installTimeoutMs,
    onWait: (pid) => printStatus(`waiting for process ${pid}, which is installing`),
  });
  try {
    await installPrograms(programs);
    await installPackages();
  } finally {
    lock.release();
  }
}

/** @param {readonly string[]} programs */
async function installPrograms(programs) {
  const missing = missingPrograms(programs);
  if (missing.length === 0) return;
  const installer = installerFor(missing, process.env);
  if (installer === undefined || !installer.allowed)
    throw new BootstrapError(missingMessage(programs, 'this user may not install them'));
  printStatus(`${missing.join(', ')} not found; running: ${installer.line}`);
  // Only the last step counts: `apt-get update` may fail for one source and still find the packages.
  let status = 0;
  for (const step of installer.steps) status = await runStep(step, { cwd: projectDir, environment: process.env });
  if (status !== 0 || missingPrograms(missing).length > 0) {
    throw new BootstrapError(
      `Could not install ${missing.join(', ')}. Install them yourself, then try again: ${installer.line}`,
    );
  }
}

async function installPackages() {
  if (arePackagesCurrent(projectDir)) return;
  printStatus(
    `installing packages from the npm registry (takes a few minutes the first time); running: ${installCommand.join(' ')}`,
  );
  forgetInstall(projectDir);
  // With CI=true, pnpm replaces a node_modules folder of another tool without a prompt.
  const status = await runStep(installCommand, { cwd: projectDir, environment: { ...process.env, CI: 'true' } });
  if (status !== 0)
    throw new BootstrapError(
      `Could not install the packages (status ${status}). Is the npm registry reachable? Try again: ${installCommand.join(' ')}`,
    );
  recordInstall(projectDir);
}

/**
 * What is missing, why it is not installed, and the command that installs it.
 * @param {readonly string[]} programs
 * @param {string} reason
 */
function missingMessage(programs, reason) {
  const missing = missingPrograms(programs);
  const line =
    missing.length === 0
      ? undefined
      : (installerFor(missing, process.env)?.line ?? `(with your package manager) install ${missing.join(' ')}`);
  const lines = [line, arePackagesCurrent(projectDir) ? undefined : installCommand.join(' ')].filter(
    (part) => part !== undefined,
  );
  const names = [...missing, ...(arePackagesCurrent(projectDir) ? [] : ['the npm packages'])].join(', ');
  return `${names} missing, and ${reason}. Run this command, then try again:\n${lines.join(' && ')}`;
}

function noNodeMessage() {
  return `Lipsync requires Node >= ${oldestNodeMajor}. This is ${process.version}, and the npm registry has no newer Node for ${process.platform}-${process.arch}. Install it from https://nodejs.org, then try again.`;
}

const [name = '', ...callerArgs] = process.argv.slice(2);
try {
  process.exitCode = await main(name, callerArgs);
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  printStatus(error.message);
  process.exitCode = 1;
}
