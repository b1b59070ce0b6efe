import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { jobViewSchema } from '@lipsync/core/contract';
import { pnpmCommand } from '../bootstrap/node-packages.mjs';
import { samplePaths } from './scratch-stack.ts';

const projectDir = dirname(dirname(import.meta.dirname));
const timeLimitMs = 10 * 60_000;
const maxOutputBytes = 16 * 1024 ** 2;

/** Strict compiler options; the declarations of all packages are checked too. */
const compilerOptions = {
  module: 'nodenext',
  target: 'es2024',
  outDir: 'built',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
} as const;

interface Step {
  readonly name: string;
  /** Resolves with a summary; throws when the step fails. */
  readonly run: () => Promise<string>;
}

/**
 * Packs the core, installs it with its dependencies into an empty TypeScript project outside this one, compiles a
 * program there with strict options, and runs the program and the command line, also on a Node that is too old.
 */
export async function provePacked(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-packed-'));
  console.log('| step | seen | s |\n|---|---|---|');
  try {
    for (const { name, run } of stepsIn(folder, AbortSignal.timeout(timeLimitMs))) {
      const startedMs = performance.now();
      const { seen, holds } = await run().then(
        (text) => ({ seen: text, holds: true }),
        (error: unknown) => ({ seen: describeFailure(error), holds: false }),
      );
      console.log(`| ${name} | ${seen} | ${((performance.now() - startedMs) / 1000).toFixed(1)} |`);
      if (!holds) return false;
    }
    return true;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function stepsIn(folder: string, signal: AbortSignal): readonly Step[] {
  const start = async (command: readonly string[], cwd: string): Promise<string> => {
    const [program = '', ...args] = command;
    // The package contains the CPU runtime; its install script would fetch CUDA from outside the npm registry.
    const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
    return (await promisify(execFile)(program, args, { cwd, env, signal, maxBuffer: maxOutputBytes })).stdout;
  };
  const inFolder = (...command: readonly string[]): Promise<string> => start(command, folder);
  return [
    { name: 'pack', run: () => pack(folder, (...args) => start([...pnpmCommand, ...args], projectDir)) },
    { name: 'install', run: () => install(folder, inFolder) },
    { name: 'compile, strictly', run: () => compile(folder, inFolder) },
    { name: 'run the README’s program', run: () => runProgram(folder, inFolder) },
    { name: 'run the command line', run: () => runCommandLine(folder, inFolder) },
    { name: 'refuse Node 20', run: () => refuseOlderNode(folder, inFolder) },
  ];
}

type Start = (...command: readonly string[]) => Promise<string>;

async function pack(folder: string, pnpm: Start): Promise<string> {
  await pnpm('--filter', '@lipsync/core', 'pack', '--pack-destination', folder);
  const name = await tarballIn(folder);
  return `${name}, ${Math.round((await stat(join(folder, name))).size / 1024)} KiB`;
}

async function tarballIn(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error('`pnpm pack` wrote no tarball.');
  return name;
}

async function install(folder: string, start: Start): Promise<string> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  await start(
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    `./${await tarballIn(folder)}`,
    'typescript',
    '@types/node',
  );
  const shipped = await readdir(join(folder, 'node_modules', '@lipsync', 'core'), { recursive: true });
  const sources = shipped.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'));
  if (sources.length > 0) throw new Error(`TypeScript sources were shipped: ${sources.join(', ')}`);
  return `${shipped.length} files, no TypeScript source`;
}

async function compile(folder: string, start: Start): Promise<string> {
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts', 'mistake.ts'] }),
  );
  await writeFile(join(folder, 'program.ts'), await readmeProgram());
  // Fails to compile if the declarations were not found, because then everything would be `any`.
  await writeFile(
    join(folder, 'mistake.ts'),
    [
      "import type { GenerateLipsyncInput } from '@lipsync/core';",
      '// @ts-expect-error not a sync mode',
      "export const mode: GenerateLipsyncInput['syncMode'] = 'sideways';",
    ].join('\n'),
  );
  await start('npx', 'tsc');
  return 'no error';
}

/** The first example in the README of the package. */
async function readmeProgram(): Promise<string> {
  const readme = await readFile(join(projectDir, 'packages', 'lipsync-core', 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].flatMap(([, code = '']) => code);
  const program = examples.find((code) => code.includes("'@lipsync/core'"));
  if (program === undefined) throw new Error('The README of the package has no program that imports it.');
  return program;
}

async function runProgram(folder: string, start: Start): Promise<string> {
  await copyFile(samplePaths.videoPath, join(folder, 'clip.mp4'));
  await copyFile(samplePaths.audioPath, join(folder, 'speech.wav'));
  const printed = await start('node', 'built/program.js');
  const [, method, seconds] = /^(\w+) ([\d.]+) /m.exec(printed) ?? [];
  if (method !== 'preview') throw new Error(`The program printed: ${printed}`);
  return `made by ${method}, ${seconds} s, ${await sizeOf(folder, 'out.mp4')}`;
}

async function runCommandLine(folder: string, start: Start): Promise<string> {
  const printed = await start('npx', 'lipsync', 'generate', 'clip.mp4', 'speech.wav', '-o', 'again.mp4', '--json');
  const { output_path: outputPath, ...rest }: { output_path?: unknown } = JSON.parse(printed);
  const job = jobViewSchema.parse(rest);
  if (outputPath !== 'again.mp4') throw new Error(`The job is ${job.status}: ${job.message}`);
  return `${job.status}, ${job.duration} s, ${await sizeOf(folder, outputPath)}`;
}

/** An older Node, as a package like the one that the bootstrap uses. */
async function refuseOlderNode(folder: string, start: Start): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  await start('npm', 'install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', `${name}@20`);
  const node = join(folder, 'node_modules', name, 'bin', 'node');
  const core = join('node_modules', '@lipsync', 'core', 'dist');
  for (const entry of [join(core, 'index.js'), join(core, 'host.js'), join(core, 'cli', 'main.js')]) {
    const printed = await start(node, entry).catch(describeFailure);
    if (!printed.includes('needs Node 24 or later')) throw new Error(`${entry} printed: ${printed}`);
  }
  return 'library and command line name Node 24';
}

async function sizeOf(folder: string, name: string): Promise<string> {
  return `${Math.round((await stat(join(folder, name))).size / 1024)} KiB`;
}

/** Message and output of a failed program, on one line. */
function describeFailure(error: unknown): string {
  const { message, stdout = '' } = error as Error & { stdout?: string };
  return `${message} ${stdout}`.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim();
}
