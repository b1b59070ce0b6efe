/**
 * `node scripts/bootstrap.mjs COMMAND [arguments]`: brings a machine with any Node >= 18 to where COMMAND can run, then
 * runs it. Plain JavaScript, because nothing is installed yet. Speaks on stderr only, before each thing it does.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callerFolder, commandEnvironment, commands, nodeArguments, programsNeeded } from './bootstrap/commands.mjs';
import { compiledModulesFolder } from './bootstrap/compiled-modules.mjs';
import { waitForLock } from './bootstrap/lock-file.mjs';
import { arePackagesCurrent, forgetInstall, installCommand, recordInstall } from './bootstrap/node-packages.mjs';
import { findNode, oldestNodeMajor } from './bootstrap/node-runtime.mjs';
import { runCommand } from './bootstrap/run-command.mjs';
import { BootstrapError, say } from './bootstrap/say.mjs';
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
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined)
    throw new BootstrapError(`There is no command "${name}". There are: ${Object.keys(commands).join(', ')}.`);
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

/** Whether the person brings a Redis: in the environment, or in the .env file that the configuration reads too. */
function hasRedisUrl() {
  if (process.env.REDIS_URL !== undefined) return process.env.REDIS_URL !== '';
  try {
    return /^\s*(?:export\s+)?REDIS_URL\s*=\s*["']?[^\s"'#]/m.test(readFileSync(join(projectDir, '.env'), 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Several commands may be started at once in a fresh clone: one installs, the others wait and find it done.
 * @param {readonly string[]} programs
 */
async function install(programs) {
  if (process.env.LIPSYNC_NO_INSTALL === '1')
    throw new BootstrapError(refusal(programs, 'LIPSYNC_NO_INSTALL=1 is set'));
  const lock = await waitForLock(join(projectDir, '.cache', 'bootstrap.lock'), {
    timeoutMs: installTimeoutMs,
    onWait: (pid) => say(`waiting for process ${pid}, which is installing`),
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
    throw new BootstrapError(refusal(programs, 'there is no right to install them here'));
  say(`${missing.join(', ')} not found; running: ${installer.line}`);
  // The last step decides: an update that failed for one source out of many may still have found the packages.
  let status = 0;
  for (const step of installer.steps) status = await runStep(step, { cwd: projectDir, environment: process.env });
  if (status !== 0 || missingPrograms(missing).length > 0) {
    throw new BootstrapError(
      `Could not install ${missing.join(', ')}. Install them by hand, then try again: ${installer.line}`,
    );
  }
}

async function installPackages() {
  if (arePackagesCurrent(projectDir)) return;
  say(
    `installing packages from the npm registry (a minute or two the first time); running: ${installCommand.join(' ')}`,
  );
  forgetInstall(projectDir);
  // CI: pnpm asks no questions, also when it has to replace a node_modules made by something else.
  const status = await runStep(installCommand, { cwd: projectDir, environment: { ...process.env, CI: 'true' } });
  if (status !== 0)
    throw new BootstrapError(
      `Could not install the packages (status ${status}). Is the npm registry reachable? Try again: ${installCommand.join(' ')}`,
    );
  recordInstall(projectDir);
}

/**
 * @param {readonly string[]} programs
 * @param {string} reason
 */
function refusal(programs, reason) {
  const missing = missingPrograms(programs);
  const line =
    missing.length === 0
      ? undefined
      : (installerFor(missing, process.env)?.line ?? `(with your package manager) install ${missing.join(' ')}`);
  const lines = [line, arePackagesCurrent(projectDir) ? undefined : installCommand.join(' ')].filter(
    (part) => part !== undefined,
  );
  const what = [...missing, ...(arePackagesCurrent(projectDir) ? [] : ['the npm packages'])].join(', ');
  return `${what} missing, and ${reason}. Run this line, then try again:\n${lines.join(' && ')}`;
}

function noNodeMessage() {
  return `Lipsync needs Node >= ${oldestNodeMajor}; this is ${process.version}, and the npm registry has no newer one for ${process.platform}-${process.arch}. Install it from https://nodejs.org, then try again.`;
}

const [name = '', ...callerArgs] = process.argv.slice(2);
try {
  process.exitCode = await main(name, callerArgs);
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
