import { execFile } from 'node:child_process';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { jobViewSchema } from '../../src/contract/index.ts';
import { makeShortSample } from '../service/short-sample.ts';
import { runCli, type CliOutcome } from './run-cli.ts';

const mainPath = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
let folder: string;
let clip: string;
let speech: string;
let output: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-cli-'));
  ({ clipPath: clip, speechPath: speech } = await makeShortSample(folder));
  vi.stubEnv('LIPSYNC_DATA_DIR', join(folder, 'data'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  output = join(await mkdtemp(join(folder, 'output-')), 'out.mp4');
});

/** The one line that stdout is; fails when there is more, or less. */
function onlyLine({ stdout }: CliOutcome): Record<string, unknown> {
  expect(stdout).toMatch(/^[^\n]+\n$/);
  return JSON.parse(stdout);
}

/** Runs the command line as a process; `interruptAt` sends it what control-C does once that stage is shown. */
function runMain(
  args: readonly string[],
  { interruptAt }: { readonly interruptAt?: string } = {},
): Promise<CliOutcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [mainPath, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ exitCode: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
    child.stderr?.on('data', (shown: string) => {
      if (interruptAt !== undefined && shown.includes(interruptAt)) child.kill('SIGINT');
    });
  });
}

describe('generate --json', () => {
  it('generate --json prints the job and the path of its video on one line of stdout and exits with 0.', async () => {
    const outcome = await runMain([
      'generate',
      clip,
      speech,
      '-o',
      output,
      '--json',
      '--metadata',
      '{"take":1}',
      '--sync-mode',
      'cut_off',
    ]);
    const { output_path: outputPath, ...job } = onlyLine(outcome);
    expect(jobViewSchema.parse(job)).toMatchObject({
      status: 'completed',
      method_used: 'preview',
      degraded: true,
      duration: 1,
      metadata: { take: 1 },
    });
    expect(outputPath).toBe(output);
    await access(output);
    expect(outcome.exitCode).toBe(0);
    expect(outcome.stderr).toMatch(/rendering/);
  });

  it('An interrupted generate --json prints the canceled job, exits with 1 and leaves no file.', async () => {
    const outcome = await runMain(['generate', clip, speech, '-o', output, '--json'], { interruptAt: 'listening' });
    expect(onlyLine(outcome)).toMatchObject({ status: 'canceled', output_path: null });
    expect(outcome.exitCode).toBe(1);
    expect([await readdir(dirname(output)), await readdir(join(folder, 'data', 'work'))]).toEqual([[], []]);
  });

  it.each([
    ['a missing clip', () => [join(folder, 'missing.mp4'), speech], 'not_found'],
    ['a missing speech', () => [clip, join(folder, 'missing.wav')], 'not_found'],
    ['a clip that is no video', () => [speech, speech], 'clip_unusable'],
    ['a provider that is not configured', () => [clip, speech, '--method', 'heygen'], 'not_supported'],
  ] as const)('For %s generate --json prints the failed job on one line and exits with 1.', async (_, args, code) => {
    const outcome = await runCli('generate', ...args(), '-o', output, '--json');
    const { output_path: outputPath, ...job } = onlyLine(outcome);
    expect(jobViewSchema.parse(job)).toMatchObject({ status: 'failed', error: { code }, output_url: null });
    expect([outcome.exitCode, outputPath]).toEqual([1, null]);
    await expect(access(output)).rejects.toThrow();
  });

  it('For contradictory options generate --json prints the reason on one line and exits with 1.', async () => {
    const outcome = await runCli(
      'generate',
      clip,
      speech,
      '-o',
      output,
      '--json',
      '--start-ms',
      '500',
      '--end-ms',
      '100',
    );
    expect(onlyLine(outcome)).toMatchObject({
      status: 'failed',
      error: { code: 'request_invalid', retryable: false },
      output_path: null,
    });
    expect(outcome.exitCode).toBe(1);
  });
});

describe('generate', () => {
  it('generate refuses an existing output and leaves it unchanged.', async () => {
    await writeFile(output, 'mine');
    const outcome = await runCli('generate', clip, speech, '-o', output);
    expect(outcome).toMatchObject({ exitCode: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/^output_exists: /m);
    expect(await readFile(output, 'utf8')).toBe('mine');
  });

  it('generate --overwrite replaces the output, prints its path on stdout, and stages and warnings on stderr.', async () => {
    await writeFile(output, 'mine');
    const outcome = await runCli('generate', clip, speech, '-o', output, '--overwrite');
    expect(outcome).toMatchObject({ exitCode: 0, stdout: `${output}\n` });
    expect((await readFile(output)).subarray(4, 8).toString()).toBe('ftyp');
    const stages = [...outcome.stderr.matchAll(/^\d+% (\w+)$/gm)].map(([, stage]) => stage);
    // Without tracking: the same clip was followed before.
    expect(stages.filter((stage) => stage !== 'tracking')).toEqual([
      'fetching',
      'probing',
      'listening',
      'learning',
      'rendering',
      'publishing',
    ]);
    expect(outcome.stderr).toMatch(/^warning degraded: /m);
  });

  it('generate leaves no work in progress.', async () => {
    await runCli('generate', speech, speech, '-o', output);
    expect(await readdir(join(folder, 'data', 'work'))).toEqual([]);
  });
});

describe('Invalid command lines', () => {
  it.each([
    ['an unknown flag', ['--color', 'blue'], '--color'],
    ['a choice that is none', ['--sync-mode', 'sideways'], 'sideways'],
    ['a number that is none', ['--start-ms', '1.5'], 'whole number'],
    ['metadata that is no JSON', ['--metadata', '{'], 'JSON'],
    ['one word too many', ['more'], 'too many arguments'],
  ])('%s exits with 2 and prints the reason to stderr only, also with --json.', async (_, args, said) => {
    for (const json of [[], ['--json']]) {
      const outcome = await runCli('generate', clip, speech, '-o', output, ...args, ...json);
      expect(outcome).toMatchObject({ exitCode: 2, stdout: '' });
      expect(outcome.stderr).toContain(said);
    }
  });

  it.each([[['generate', 'clip.mp4']], [['generate', 'clip.mp4', 'speech.wav']], [['sing']], [[]]])(
    '%j leaves with 2',
    async (args) => {
      const outcome = await runCli(...args);
      expect(outcome).toMatchObject({ exitCode: 2, stdout: '' });
      expect(outcome.stderr).not.toBe('');
    },
  );

  it('A request for help exits with 0.', async () => {
    expect(await runCli('generate', '--help')).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringContaining('--silence-mode'),
    });
  });
});
