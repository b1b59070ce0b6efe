import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../packages/lipsync-core/test/cli/run-cli.ts';
import { commands, listCommands } from '../scripts/bootstrap/commands.mjs';

const sourceDir = join(import.meta.dirname, '..');
let projectDir: string;

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A project with installed packages, whose CLI prints its arguments and exits with 7. */
beforeAll(() => {
  projectDir = mkdtempSync(join(tmpdir(), 'lipsync bootstrap '));
  cpSync(join(sourceDir, 'scripts', 'bootstrap'), join(projectDir, 'scripts', 'bootstrap'), { recursive: true });
  for (const name of ['scripts/bootstrap.mjs', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'])
    cpSync(join(sourceDir, name), join(projectDir, name));
  writeProjectFile(
    'packages/lipsync-core/src/cli/main.ts',
    'process.stderr.write(process.env.PRINT_FOLDER ? [process.cwd(), process.env.LIPSYNC_PROJECT_FOLDER].join("\\n") : "");\nprocess.stdout.write(JSON.stringify(process.argv.slice(2)));\nprocess.exitCode = 7;\n',
  );
  writeProjectFile('bin/ffmpeg', '#!/bin/sh\n', 0o755);
  writeProjectFile('bin/ffprobe', '#!/bin/sh\n', 0o755);
  mkdirSync(join(projectDir, 'empty'));
  symlinkSync(process.execPath, join(projectDir, 'bin', 'node'));
});

afterAll(() => rmSync(projectDir, { recursive: true, force: true }));

function writeProjectFile(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(projectDir, path)), { recursive: true });
  writeFileSync(join(projectDir, path), text, { mode });
}

function markInstalled(isCurrent: boolean): void {
  writeProjectFile('node_modules/.modules.yaml', '');
  const modified = isCurrent ? new Date(Date.now() + 60_000) : new Date(0);
  utimesSync(join(projectDir, 'node_modules/.modules.yaml'), modified, modified);
}

function bootstrap(
  args: readonly string[],
  folder: 'bin' | 'empty',
  more: Record<string, string> = {},
): Promise<Outcome> {
  const env = { PATH: join(projectDir, folder), LIPSYNC_NO_INSTALL: '1', ...more };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(projectDir, 'scripts', 'bootstrap.mjs'), ...args],
      { env, timeout: 20_000 },
      (error, stdout, stderr) => {
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

it('Bootstrap passes arguments unchanged, prints nothing on stdout, and exits with the status of the command.', async () => {
  markInstalled(true);
  const args = ['generate', 'a b.mp4', '--json', '$HOME', "it's", '*', '', '--', '\n'];
  const { status, stdout, stderr } = await bootstrap(['lipsync', ...args], 'bin');
  expect(JSON.parse(stdout)).toEqual(args);
  expect(stderr).toBe('');
  expect(status).toBe(7);
});

it('The command line runs in the folder from which npm was called and receives the project folder.', async () => {
  markInstalled(true);
  const { stderr } = await bootstrap(['lipsync', 'doctor'], 'bin', {
    INIT_CWD: join(projectDir, 'empty'),
    PRINT_FOLDER: '1',
  });
  expect(stderr.split('\n')).toEqual([join(projectDir, 'empty'), projectDir]);
});

it('A command line that is not started by npm runs in the current folder.', async () => {
  markInstalled(true);
  expect((await bootstrap(['lipsync', 'doctor'], 'bin', { PRINT_FOLDER: '1' })).stderr.split('\n')).toEqual([
    process.cwd(),
    projectDir,
  ]);
});

it('Every npm script replaces the shell of npm with the bootstrap, so that signals to npm reach it.', () => {
  const { scripts } = JSON.parse(readFileSync(join(sourceDir, 'package.json'), 'utf8'));
  const started = Object.values<string>(scripts).filter((script) => script.includes('bootstrap.mjs'));
  expect(started.length).toBeGreaterThan(5);
  for (const script of started) expect(script).toMatch(/^exec node /);
});

it('Bootstrap deletes the compile cache only when it has too many files.', async () => {
  markInstalled(true);
  const folder = join(projectDir, '.cache', 'compiled', 'v24');
  mkdirSync(folder, { recursive: true });
  const add = (from: number, to: number): void => {
    for (let module = from; module < to; module += 1) writeFileSync(join(folder, `${module}`), '');
  };
  add(0, 15_000);
  await bootstrap(['lipsync', 'doctor'], 'bin');
  expect(existsSync(join(folder, '0'))).toBe(true);
  add(15_000, 20_001);
  expect((await bootstrap(['lipsync', 'doctor'], 'bin')).status).toBe(7);
  expect(existsSync(folder)).toBe(false);
});

it('Without permission to install, bootstrap fails, names what is missing on stderr, and prints nothing on stdout.', async () => {
  markInstalled(true);
  const { status, stdout, stderr } = await bootstrap(['lipsync', 'doctor'], 'empty');
  expect(status).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/ffmpeg, ffprobe missing.*LIPSYNC_NO_INSTALL=1/);
});

it('If packages are older than the lockfile, bootstrap prints the command that installs them.', async () => {
  markInstalled(false);
  const { status, stderr } = await bootstrap(['lipsync', 'doctor'], 'bin');
  expect(status).toBe(1);
  expect(stderr).toMatch(/^npx -y .*pnpm@[\d.]+ install --frozen-lockfile$/m);
});

it('An unknown command fails with its name and a list of the available commands.', async () => {
  const { status, stdout, stderr } = await bootstrap(['lpsync'], 'bin');
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toContain('Unknown command "lpsync".');
  for (const name of Object.keys(commands)) expect(stderr).toMatch(new RegExp(`^  ${name} +\\w`, 'm'));
});

it('npm run help lists the commands, and a command with --help prints its arguments, without installing anything.', async () => {
  markInstalled(false);
  const list = await bootstrap(['help'], 'empty');
  expect(list).toMatchObject({ status: 0, stdout: `${listCommands()}\n`, stderr: '' });
  const soak = await bootstrap(['soak', '--help'], 'empty');
  expect(soak).toMatchObject({ status: 0, stdout: expect.stringContaining('npm run soak -- [NAME…]'), stderr: '' });
});

it('The purpose of the command line names all of its commands.', async () => {
  const { stdout } = await runCli('--help');
  const named = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name).filter((name) => name !== 'help');
  const [, listed = ''] = /^the command line: (.*);/.exec(commands['lipsync']?.purpose ?? '') ?? [];
  expect(new Set(listed.split(', '))).toEqual(new Set(named));
});

it('Every command is an npm script.', () => {
  const { scripts } = JSON.parse(readFileSync(join(sourceDir, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(commands), 'help'])
    expect(scripts[name]).toBe(`exec node scripts/bootstrap.mjs ${name}`);
});
