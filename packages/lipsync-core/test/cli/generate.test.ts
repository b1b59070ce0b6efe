import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { jobViewSchema, silenceModes, syncModes } from '../../src/contract/index.ts';
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
  // Only the test that shows both needs them; they take longer than the takes.
  vi.stubEnv('LIPSYNC_QUALITY', 'off');
  vi.stubEnv('LIPSYNC_MARKING', 'off');
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
});

describe('generate', () => {
  it('generate refuses an existing output and leaves it unchanged.', async () => {
    await writeFile(output, 'mine');
    const outcome = await runCli('generate', clip, speech, '-o', output);
    expect(outcome).toMatchObject({ exitCode: 1, stdout: '' });
    expect(outcome.stderr).toContain(`output_exists: The output "${output}" exists already.`);
    expect(outcome.stderr).toContain('--overwrite');
    expect(await readFile(output, 'utf8')).toBe('mine');
  });

  it('generate --overwrite replaces the output, prints its path on stdout, and stages and warnings on stderr.', async () => {
    await writeFile(output, 'mine');
    vi.stubEnv('LIPSYNC_QUALITY', 'on');
    vi.stubEnv('LIPSYNC_MARKING', 'on');
    onTestFinished(() => {
      vi.stubEnv('LIPSYNC_QUALITY', 'off');
      vi.stubEnv('LIPSYNC_MARKING', 'off');
    });
    const outcome = await runCli('generate', clip, speech, '-o', output, '--overwrite');
    expect(outcome).toMatchObject({ exitCode: 0, stdout: `${output}\n` });
    expect((await readFile(output)).subarray(4, 8).toString()).toBe('ftyp');
    const stages = [...outcome.stderr.matchAll(/^\d+% (\w+)$/gm)].map(([, stage]) => stage);
    // Without tracking: the same clip was followed before.
    expect([...new Set(stages)].filter((stage) => stage !== 'tracking')).toEqual([
      'fetching',
      'probing',
      'listening',
      'learning',
      'rendering',
      'checking',
      'publishing',
    ]);
    expect(outcome.stderr).toMatch(/^warning degraded: /m);
    expect(outcome.stderr).toMatch(/^Quality: lip-sync not graded, picture 0\.\d\d, sound 0\.\d\d of 1; defects: /m);
  });

  it('LIPSYNC_VIDEO_CRF and LIPSYNC_AUDIO_BITRATE_KBPS determine the size of picture and sound.', async () => {
    const bitrates = async (): Promise<readonly number[]> => {
      await runCli('generate', clip, speech, '-o', output, '--overwrite');
      const entries = ['-v', 'error', '-show_entries', 'stream=bit_rate', '-of', 'csv=p=0'];
      const { stdout } = await promisify(execFile)('ffprobe', [...entries, output]);
      return stdout.trim().split('\n').map(Number);
    };
    const [video = 0, audio = 0] = await bitrates();
    vi.stubEnv('LIPSYNC_VIDEO_CRF', '40');
    vi.stubEnv('LIPSYNC_AUDIO_BITRATE_KBPS', '32');
    onTestFinished(() => {
      vi.stubEnv('LIPSYNC_VIDEO_CRF', '');
      vi.stubEnv('LIPSYNC_AUDIO_BITRATE_KBPS', '');
    });
    const [smallVideo = 0, smallAudio = 0] = await bitrates();
    expect(smallVideo).toBeGreaterThan(0);
    expect(smallVideo).toBeLessThan(video / 3);
    expect(smallAudio).toBeGreaterThan(0);
    expect(smallAudio).toBeLessThan(audio * 0.8);
  });

  it('generate leaves no work in progress.', async () => {
    await runCli('generate', speech, speech, '-o', output);
    expect(await readdir(join(folder, 'data', 'work'))).toEqual([]);
  });
});

describe('generate from URLs', () => {
  /** Serves the sample on an allowed port of the loopback interface. */
  async function serveSample(): Promise<string> {
    const server = createServer((request, response) => {
      const path = request.url === '/clip.mp4' ? clip : request.url === '/speech.wav' ? speech : undefined;
      if (path === undefined) return response.writeHead(404).end();
      return createReadStream(path).pipe(response);
    });
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    vi.stubEnv('LIPSYNC_ALLOWED_PRIVATE_HOSTS', host);
    onTestFinished(() => void vi.stubEnv('LIPSYNC_ALLOWED_PRIVATE_HOSTS', ''));
    return `http://${host}`;
  }

  it('generate fetches a clip and a speech from URLs, also mixed with files, and keeps no download.', async () => {
    const origin = await serveSample();
    const both = await runCli('generate', `${origin}/clip.mp4`, `${origin}/speech.wav`, '-o', output);
    expect(both).toMatchObject({ exitCode: 0, stdout: `${output}\n` });
    const mixed = await runCli('generate', clip, `${origin}/speech.wav`, '-o', output, '--overwrite', '--json');
    expect(onlyLine(mixed)).toMatchObject({ status: 'completed', output_path: output });
    expect(await readdir(join(folder, 'data', 'work'))).toEqual([]);
    await expect(access(join(folder, 'data', 'inputs'))).rejects.toThrow();
  });

  it('A URL that cannot be fetched is reported by its argument and host, without a secret in its query.', async () => {
    const origin = await serveSample();
    const missing = await runCli('generate', `${origin}/none.mp4?token=secret`, speech, '-o', output);
    expect(missing).toMatchObject({ exitCode: 1, stdout: '' });
    expect(missing.stderr).toContain(`<video> (${new URL(origin).host}): `);
    expect(missing.stderr).not.toContain('secret');
    const forbidden = await runCli('generate', clip, 'http://127.0.0.1:9/speech.wav', '-o', output);
    expect(forbidden.stderr).toMatch(/^url_forbidden: <audio> \(127\.0\.0\.1:9\): /m);
  });

  it('A file that does not exist is reported before a URL is fetched.', async () => {
    const outcome = await runCli('generate', 'https://nothing.invalid/clip.mp4', 'missing.wav', '-o', output);
    expect(outcome.stderr).toMatch(/^not_found: The speech "missing\.wav"/m);
  });
});

describe('Invalid command lines', () => {
  it.each([
    ['An unknown flag', ['--color', 'blue'], /--color/],
    ['A mode that does not exist', ['--sync-mode', 'sideways'], /--sync-mode must be one of loop, bounce, cut_off/],
    ['A time that is not a whole number', ['--start-ms', '1.5'], /--start-ms must be a whole number/],
    ['A time that is not a number', ['--start-ms', 'x'], /--start-ms must be a number/],
    ['Metadata that is not JSON', ['--metadata', '{'], /--metadata must be a JSON object/],
    ['A window without length', ['--start-ms', '500', '--end-ms', '100'], /--end-ms must be later than the start/],
    ['One argument too many', ['more'], /too many arguments/],
  ])(
    '%s exits with 2 and names the flag, on stderr or with --json as the one line of stdout.',
    async (_, args, said) => {
      const plain = await runCli('generate', clip, speech, '-o', output, ...args);
      expect(plain).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringMatching(said) });
      const json = await runCli('generate', clip, speech, '-o', output, ...args, '--json');
      expect(json).toMatchObject({ exitCode: 2, stderr: '' });
      expect(onlyLine(json)).toMatchObject({
        status: 'failed',
        error: { code: 'request_invalid', message: expect.stringMatching(said), retryable: false },
        output_path: null,
      });
    },
  );

  it('All invalid flags of a command line are reported at once, those of a window and of a provider too.', async () => {
    const args = ['--start-ms', '9', '--end-ms', '5', '--priority', '11', '--user-id', '', '--heygen-mode', 'x'];
    const { errors } = onlyLine(await runCli('generate', clip, speech, '-o', output, ...args, '--json'));
    expect(errors).toEqual([
      { flag: '--heygen-mode', message: 'must be one of speed, precision' },
      { flag: '--priority', message: 'must be at most 10' },
      { flag: '--user-id', message: 'must not be empty' },
      { flag: '--end-ms', message: 'must be later than the start of the part to use' },
    ]);
    const plain = await runCli('generate', clip, speech, '-o', output, ...args);
    expect(plain.stderr.match(/^error: --\S+ must/gm)).toHaveLength(4);
  });

  it('An error of a job names the flag that helps.', async () => {
    const outcome = await runCli('generate', clip, speech, '-o', output, '--start-ms', '90000', '--json');
    expect(onlyLine(outcome)).toMatchObject({ error: { message: expect.stringContaining('--start-ms') } });
    expect(onlyLine(outcome)).not.toMatchObject({ error: { message: expect.stringContaining('start_ms') } });
  });

  it.each([[['generate', 'clip.mp4']], [['generate', 'clip.mp4', 'speech.wav']], [['sing']], [[]]])(
    'The incomplete command line %j exits with 2.',
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

  it('The help of generate explains every mode and names the default of every flag.', async () => {
    const { stdout } = await runCli('generate', '--help');
    for (const mode of [...syncModes, ...silenceModes]) expect(stdout).toMatch(new RegExp(`^  ${mode} +\\w`, 'm'));
    const flags = stdout.replaceAll(/\n {10,}/g, ' ').match(/^ {2}-.*/gm) ?? [];
    const incomplete = flags.filter((line) => !/\(default: |\(required\)/.test(line));
    expect(incomplete.map((line) => line.split(' ').find((word) => word.startsWith('--')))).toEqual([
      '--json',
      '--help',
    ]);
  });

  it('--version prints the version of the package.', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8'));
    expect(await runCli('--version')).toEqual({ exitCode: 0, stderr: '', stdout: `${version}\n` });
  });
});
