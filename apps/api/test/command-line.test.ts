import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../packages/lipsync-core/test/cli/run-cli.ts';
import { startApi, type RunningApi } from './running-api.ts';

const key = { name: 'alice', secret: 'a-secret-of-a-test', isAdmin: false };

describe('command line with a service', () => {
  let api: RunningApi;
  let folder: string;
  let clip: string;
  let speech: string;

  beforeAll(async () => {
    api = await startApi({ keys: [key] });
    folder = await mkdtemp(join(tmpdir(), 'cli-service-'));
    [clip, speech] = [join(folder, 'clip.mp4'), join(folder, 'speech.wav')];
    await writeFile(clip, 'clip');
    await writeFile(speech, 'speech');
    vi.stubEnv('LIPSYNC_SERVER_URL', api.url);
    vi.stubEnv('LIPSYNC_SERVER_KEY', key.secret);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
    await api.close();
  });

  /** Completes the newest queued job. */
  async function completeNext(): Promise<void> {
    const queued = () => api.store.list({ kind: 'lipsync', status: 'queued', limit: 1 });
    await expect.poll(async () => (await queued()).records.length).toBe(1);
    await api.complete((await queued()).records[0]?.id ?? '', 'a video');
  }

  it('submit uploads files and sends URLs with the options, and prints the id alone; jobs shows and cancel ends it.', async () => {
    const url = 'https://example.org/speech.wav';
    const args = ['--method', 'heygen', '--heygen-mode', 'precision', '--max-cost-usd', '1.5', '--metadata', '{"n":7}'];
    const submitted = await runCli('submit', clip, url, ...args);
    expect(submitted).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--method is not configured') });
    const accepted = await runCli('submit', clip, speech, ...args.slice(4), '--allow-preview');
    expect(accepted).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringMatching(/^job_[^\s]+\n$/) });
    const id = accepted.stdout.trim();
    const shown = await runCli('jobs', id, '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ id, status: 'queued', metadata: { n: 7 } });
    expect((await runCli('jobs', '--status', 'queued')).stdout).toContain(id);
    expect(await runCli('cancel', id)).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('is canceled') });
    expect(await runCli('jobs', id, '--wait')).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('canceled'),
    });
  });

  it('Two submits with one idempotency key print the same id.', async () => {
    const submit = () => runCli('submit', clip, speech, '--idempotency-key', 'order-7');
    const [one, two] = [await submit(), await submit()];
    expect(two).toEqual(one);
    await runCli('cancel', one.stdout.trim());
  });

  it('jobs with an output waits for the job and downloads it under its final name.', async () => {
    const id = (await runCli('submit', clip, speech)).stdout.trim();
    const output = join(folder, 'later.mp4');
    const [outcome] = await Promise.all([runCli('jobs', id, '-o', output), completeNext()]);
    expect(outcome).toMatchObject({ exitCode: 0, stdout: `${output}\n` });
    expect(await readFile(output, 'utf8')).toBe('a video');
    const refused = await runCli('jobs', id, '-o', output, '--json');
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'output_exists' } });
  });

  it('generate --server makes the job there, shows its progress and writes the output.', async () => {
    const output = join(folder, 'made.mp4');
    const args = ['generate', clip, speech, '-o', output, '--server', api.url, '--json'];
    const [outcome] = await Promise.all([runCli(...args), completeNext()]);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('100%') });
    expect(JSON.parse(outcome.stdout)).toMatchObject({ status: 'completed', output_path: output });
    expect(await readFile(output, 'utf8')).toBe('a video');
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('Fields that the service refuses are named by their flags, and nothing is submitted.', async () => {
    const before = (await runCli('jobs', '--json')).stdout;
    const refused = await runCli(
      'generate',
      clip,
      speech,
      '-o',
      join(folder, 'x.mp4'),
      '--server',
      api.url,
      '--start-ms',
      'x',
    );
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--start-ms must be a number') });
    expect((await runCli('jobs', '--json')).stdout).toBe(before);
  });

  it('A problem that is a sentence of its own follows its flag and a colon.', async () => {
    const refused = await runCli('submit', 'http://10.0.0.1/clip.mp4', 'https://example.org/speech.wav');
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^error: <video>: The URL /) });
  });

  it('A refused key and an unreachable service name the settings that correct them.', async () => {
    vi.stubEnv('LIPSYNC_SERVER_KEY', 'wrong');
    const refused = await runCli('jobs');
    vi.stubEnv('LIPSYNC_SERVER_KEY', key.secret);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('LIPSYNC_SERVER_KEY') });
    const unreachable = await runCli('jobs', '--server', 'http://127.0.0.1:1', '--json');
    expect(JSON.parse(unreachable.stdout).error).toMatchObject({
      code: 'connection_failed',
      message: expect.stringContaining('LIPSYNC_SERVER_URL'),
    });
  });

  it.each([
    ['an unknown job', ['jobs', 'job_none'], 1, 'not_found'],
    ['a key in the address', ['jobs', '--server', 'http://user:key@127.0.0.1'], 2, 'without a key'],
    ['another scheme', ['jobs', '--server', 'ftp://127.0.0.1'], 2, 'http or https URL'],
    ['an output without an id', ['jobs', '-o', 'x.mp4'], 2, 'need the id'],
    ['an unknown status', ['jobs', '--status', 'done'], 2, '--status must be one of'],
    ['a missing file', ['submit', 'missing.mp4', 'missing.wav'], 1, 'does not exist'],
  ])('The command line refuses %s.', async (_name, args, exitCode, text) => {
    expect(await runCli(...args)).toMatchObject({ exitCode, stdout: '', stderr: expect.stringContaining(text) });
  });
});
