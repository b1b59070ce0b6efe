import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batchItemId, toMicros } from '@lipsync/core/host';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../packages/lipsync-core/test/cli/run-cli.ts';
import { startApi, type RunningApi } from './running-api.ts';

const key = { name: 'alice', secret: 'a-secret-of-a-test', isAdmin: false };
const mainPath = join(import.meta.dirname, '../../../packages/lipsync-core/src/cli/main.ts');
const journalName = (names: readonly string[]): string => names.find((name) => name.endsWith('.json')) ?? '';
const patience = { timeout: 20_000 };

describe('batch of the command line at a service', () => {
  let api: RunningApi;
  let folder: string;
  let output: string;
  let manifest: string;

  beforeAll(async () => {
    api = await startApi({ keys: [key] });
    vi.stubEnv('LIPSYNC_SERVER_KEY', key.secret);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await api.close();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cli-remote-batch-'));
    output = join(folder, 'out');
    manifest = join(folder, 'manifest.csv');
    for (const name of ['clip.mp4', 'speech.wav', 'other.wav']) await writeFile(join(folder, name), name);
    return () => rm(folder, { recursive: true, force: true });
  });

  const args = (...more: string[]) => ['batch', manifest, '-o', output, '--server', api.url, ...more];

  function start(): ChildProcess & { shown(): string } {
    const child = spawn(process.execPath, [mainPath, ...args()], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr?.on('data', (chunk: Buffer) => (text += String(chunk)));
    return Object.assign(child, { shown: () => text });
  }

  /** The id of the only batch that runs. */
  async function runningBatch(): Promise<string> {
    return vi.waitFor(async () => {
      const { records } = await api.store.list({ kind: 'batch', limit: 100 });
      const running = records.filter(({ status }) => status === 'queued' || status === 'processing');
      expect(running).toHaveLength(1);
      const [{ id = '' } = {}] = running;
      // The last item is queued.
      await vi.waitFor(async () => expect(await api.store.get(batchItemId(id, 0))).toBeDefined(), patience);
      return id;
    }, patience);
  }

  it('A batch uploads its files, downloads each output once it is complete, and prints what it prints on this machine.', async () => {
    await writeFile(
      manifest,
      'video,audio,output_name,start_ms\nclip.mp4,speech.wav,one.mp4,7\nhttps://example.org/b.mp4,speech.wav,,\n',
    );
    const ended = runCli(...args('--json', '--max-cost-usd', '2', '--sync-mode', 'bounce'));
    const id = await runningBatch();
    await vi.waitFor(async () => expect(await api.store.get(batchItemId(id, 1))).toBeDefined(), patience);
    await api.complete(batchItemId(id, 0), 'first video');
    await vi.waitFor(async () => expect(await readFile(join(output, 'one.mp4'), 'utf8')).toBe('first video'), patience);
    await api.fail(batchItemId(id, 1));
    const { exitCode, stdout } = await ended;
    expect(exitCode).toBe(1);
    const { batch_id: batchId, summary, results } = JSON.parse(stdout);
    expect(batchId).toBe(id);
    expect(summary).toMatchObject({ total: 2, success: 1, failed: 1, canceled: 0, total_duration: 1 });
    expect(results).toMatchObject([
      { line: 2, job_id: batchItemId(id, 0), status: 'completed', output_path: join(output, 'one.mp4') },
      { line: 3, output_name: '0002-b.mp4', status: 'failed', output_path: null, error: { code: 'media_failed' } },
    ]);
    expect(await api.store.get(batchItemId(id, 0))).toMatchObject({
      batch: { capMicros: 2_000_000 },
      spec: { options: { startMs: 7, syncMode: 'bounce', optimize: 'cost' } },
    });

    // Only the failed item runs again.
    const again = runCli(...args('--json', '--max-cost-usd', '2', '--sync-mode', 'bounce'));
    const second = await runningBatch();
    await api.complete(batchItemId(second, 0), 'second video');
    const outcome = await again;
    expect(outcome.exitCode).toBe(0);
    expect(JSON.parse(outcome.stdout).results).toMatchObject([
      { line: 2, from_earlier_run: true },
      { line: 3, from_earlier_run: false, job_id: batchItemId(second, 0) },
    ]);
    expect((await readdir(output)).toSorted()).toEqual(['0002-b.mp4', 'one.mp4']);
    expect(await readFile(join(output, '0002-b.mp4'), 'utf8')).toBe('second video');
  });

  it('A command that is killed follows the same batch when it is started again, and keeps what it has downloaded.', async () => {
    await writeFile(manifest, 'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\nclip.mp4,other.wav,two.mp4\n');
    const child = start();
    const id = await runningBatch();
    await api.complete(batchItemId(id, 0), 'first video');
    await vi.waitFor(() => expect(child.shown()).toContain('one.mp4 completed'), patience);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await writeFile(join(output, `.${batchItemId(id, 1)}-x.part`), 'left');
    const { ino, mtimeMs } = await stat(join(output, 'one.mp4'));
    const ended = runCli(...args('--json'));
    await api.complete(batchItemId(id, 1), 'second video');
    const outcome = await ended;
    expect(outcome.exitCode).toBe(0);
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      batch_id: id,
      results: [{ from_earlier_run: true }, { from_earlier_run: false }],
    });
    expect(await stat(join(output, 'one.mp4'))).toMatchObject({ ino, mtimeMs });
    expect((await readdir(output)).toSorted()).toEqual(['one.mp4', 'two.mp4']);
  });

  it('A second process refuses the same batch, and continues it once the first one is killed.', async () => {
    await writeFile(manifest, 'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\n');
    const child = start();
    const id = await runningBatch();
    const second = await runCli(...args());
    expect(second).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('Another process is running this batch.'),
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await writeFile(join(output, `${journalName(await readdir(output))}.1.part`), 'left');
    const third = runCli(...args());
    await api.complete(batchItemId(id, 0), 'video');
    expect((await third).exitCode).toBe(0);
    expect(await readdir(output)).toEqual(['one.mp4']);
  });

  it('A damaged journal is refused by its path, because its batch may have cost money.', async () => {
    await writeFile(manifest, 'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\n');
    const child = start();
    const id = await runningBatch();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const journal = join(output, journalName(await readdir(output)));
    const stored = await readFile(journal);
    await writeFile(journal, '{"batch":');
    const { exitCode, stderr } = await runCli(...args());
    expect(exitCode).toBe(1);
    expect(stderr).toContain(journal);
    await writeFile(journal, stored);
    const ended = runCli(...args());
    await api.complete(batchItemId(id, 0), 'video');
    expect((await ended).exitCode).toBe(0);
  });

  it('A batch that is continued may cost what earlier runs have left of its limit, which may be another one.', async () => {
    await writeFile(manifest, 'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\n');
    const first = runCli(...args('--max-cost-usd', '2'));
    const id = await runningBatch();
    const job = batchItemId(id, 0);
    const { runs: run } = await api.store.append(job, { type: 'run_started', atMs: Date.now() });
    const attempt = {
      provider: 'heygen',
      outcome: 'failed',
      code: 'media_failed',
      message: 'ffmpeg failed',
      startedAtMs: 1,
      endedAtMs: 2,
      costMicros: toMicros(1_250_000),
      operation: null,
      operationAtMs: null,
      transientFailures: 0,
    } as const;
    await api.store.append(job, { type: 'attempts_changed', run, attempts: [attempt] });
    await api.fail(job);
    expect((await first).exitCode).toBe(1);
    const second = runCli(...args('--max-cost-usd', '3'));
    const continued = await runningBatch();
    expect(await api.store.get(continued)).toMatchObject({ spec: { options: { maxCostUsd: 1.75 } } });
    await api.complete(batchItemId(continued, 0), 'video');
    expect((await second).exitCode).toBe(0);
    expect(await readdir(output)).toEqual(['one.mp4']);
  });

  it('Ctrl-C leaves the batch to the service, and a second one cancels it.', async () => {
    await writeFile(manifest, 'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\nclip.mp4,other.wav,two.mp4\n');
    const first = start();
    const id = await runningBatch();
    await api.complete(batchItemId(id, 0), 'first video');
    await vi.waitFor(() => expect(first.shown()).toContain('one.mp4 completed'), patience);
    first.kill('SIGINT');
    const [exitCode] = await once(first, 'exit');
    expect(exitCode).toBe(1);
    expect(first.shown()).toContain(`The same command follows the batch ${id} again.`);
    expect(await api.store.get(id)).toMatchObject({ cancelRequested: false });

    const second = start();
    await vi.waitFor(() => expect(second.shown()).toContain('(in an earlier run)'), patience);
    second.kill('SIGINT');
    await vi.waitFor(() => expect(second.shown()).toContain('Press Ctrl-C again'), patience);
    second.kill('SIGINT');
    await once(second, 'exit');
    expect(second.shown()).toContain(`The batch ${id} is canceled.`);
    expect(await api.store.get(id)).toMatchObject({ status: 'canceled' });
  });

  it('Rows that the service refuses are named by their lines, and nothing is left behind.', async () => {
    await writeFile(manifest, 'video,audio,start_ms,color\nclip.mp4,speech.wav,,\nclip.mp4,speech.wav,x,red\n');
    const { exitCode, stderr } = await runCli(...args('--priority', 'soon'));
    expect(exitCode).toBe(2);
    for (const text of [
      '--priority must be',
      'line 3: start_ms must be a number',
      'line 3: color is not a known field',
    ])
      expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/line 2|items\./);
    expect(await readdir(output)).toEqual([]);
    const local = await runCli(...args('--concurrency', '3'));
    expect(local).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--concurrency cannot be set') });
  });
});
