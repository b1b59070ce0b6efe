import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BatchProblemsError, getLipsyncService } from '../../src/index.ts';
import { makeShortSample } from '../service/short-sample.ts';
import { runCli } from './run-cli.ts';

const mainPath = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');

describe('batch', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-cli-batch-'));
    await makeShortSample(folder);
    await writeFile(join(folder, 'bad.mp4'), 'no video');
    vi.stubEnv('LIPSYNC_DATA_DIR', join(folder, 'data'));
    vi.stubEnv('LIPSYNC_QUALITY', 'off');
    vi.stubEnv('LIPSYNC_MARKING', 'off');
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
  });

  async function manifest(text: string): Promise<string> {
    const path = join(folder, 'manifest.csv');
    await writeFile(path, text);
    return path;
  }

  it('A batch whose process is killed resumes: complete items stay as they are, and the summary is exact.', async () => {
    const path = await manifest(
      'video,audio,output_name\nclip.mp4,speech.wav,one.mp4\nbad.mp4,speech.wav,\nclip.mp4,speech.wav,three.mp4\n',
    );
    const output = join(folder, 'killed');
    const args = ['batch', path, '-o', output, '--method', 'preview', '--concurrency', '1'];
    const child = spawn(process.execPath, [mainPath, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (shown: Buffer) => {
      if (shown.includes('one.mp4 completed')) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const { ino, mtimeMs } = await stat(join(output, 'one.mp4'));
    const outcome = await runCli(...args, '--json');
    expect(outcome.exitCode).toBe(1);
    const { summary, results } = JSON.parse(outcome.stdout);
    expect(summary).toEqual({ total: 3, success: 2, failed: 1, canceled: 0, total_duration: 2, total_cost_usd: 0 });
    expect(results).toMatchObject([
      { line: 2, status: 'completed', from_earlier_run: true },
      { line: 3, output_name: '0002-bad.mp4', status: 'failed', error: { code: 'clip_unusable' }, output_path: null },
      { line: 4, status: 'completed', from_earlier_run: false, method_used: 'preview' },
    ]);
    expect(await stat(join(output, 'one.mp4'))).toMatchObject({ ino, mtimeMs });
    expect((await readdir(output)).toSorted()).toEqual(['one.mp4', 'three.mp4']);
  });

  it('Every problem of a manifest is named by its line, and nothing is started.', async () => {
    const path = await manifest(
      [
        'video,audio,output_name,start_ms,color',
        'clip.mp4,speech.wav,same.mp4,,',
        'missing.mp4,ftp://example.org/a.wav,Same.mp4,x,red',
        'clip.mp4,speech.wav,../out.mp4,,',
      ].join('\n'),
    );
    const output = join(folder, 'refused');
    const { exitCode, stderr } = await runCli('batch', path, '-o', output);
    expect(exitCode).toBe(2);
    for (const text of [
      'line 3: video names the file',
      'line 3: audio must be a path, or an http(s) or s3 URL',
      'line 3: output_name is the same as that of line 2',
      'line 3: start_ms must be a number',
      'line 3: color is not a known field',
      'line 4: output_name must be a plain file name',
    ])
      expect(stderr).toContain(text);
    await expect(readdir(output)).rejects.toThrow('ENOENT');
  });

  it.each([
    ['a missing column', 'video\nclip.mp4\n'],
    ['a quote that never closes', 'video,audio\n"clip.mp4,speech.wav\n'],
    ['501 items', `video,audio\n${'clip.mp4,speech.wav\n'.repeat(501)}`],
  ])('A manifest with %s is invalid usage, like any other invalid row.', async (_name, text) => {
    const { exitCode, stderr } = await runCli('batch', await manifest(text), '-o', join(folder, 'refused'));
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: The manifest /);
  });

  it('The help of batch states the default of batches for --optimize.', async () => {
    const defaultOf = async (command: string) =>
      /earliest\s+to\s+finish\)\s+\(default:\s+(\w+)\)/.exec((await runCli(command, '--help')).stdout)?.[1];
    expect([await defaultOf('batch'), await defaultOf('generate')]).toEqual(['cost', 'quality']);
  });

  it('An existing output refuses the batch, with the line of its item.', async () => {
    const path = await manifest('video,audio,output_name\nclip.mp4,speech.wav,clip.mp4\n');
    const refused = await runCli('batch', path, '-o', folder, '--json');
    expect(refused.exitCode).toBe(2);
    expect(JSON.parse(refused.stdout).errors).toEqual([
      { flag: 'line 2: output_name', message: expect.stringContaining('exists already') },
    ]);
  });

  it('A program names every invalid item before anything starts, and gets the results of all items.', async () => {
    const lipsync = getLipsyncService();
    await using _ = { [Symbol.asyncDispose]: () => lipsync.close() };
    const [videoPath, audioPath] = [join(folder, 'clip.mp4'), join(folder, 'speech.wav')];
    const outputDir = join(folder, 'program');
    const invalid = lipsync.batchGenerateLipsync({
      outputDir,
      items: [
        { videoPath, audioPath, startMs: -1 },
        { videoPath: 'missing', audioPath, outputName: 'a/b' },
      ],
    });
    const error = await invalid.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BatchProblemsError);
    expect((error as BatchProblemsError).problems.map(({ item, field }) => [item, field])).toEqual([
      [0, 'startMs'],
      [1, 'videoPath'],
      [1, 'outputName'],
    ]);
    const ended: number[] = [];
    const { items, summary } = await lipsync.batchGenerateLipsync(
      { outputDir, method: 'preview', items: [{ videoPath, audioPath }] },
      { onItemEnd: ({ item }) => ended.push(item) },
    );
    expect(summary).toEqual({ total: 1, success: 1, failed: 0, canceled: 0, totalDuration: 1, totalCostUsd: 0 });
    expect(items).toMatchObject([{ status: 'completed', outputPath: join(outputDir, '0001-clip.mp4'), error: null }]);
    expect(ended).toEqual([0]);
  });

  it('An object of a bucket that is not allowed fails its item, not the batch.', async () => {
    const lipsync = getLipsyncService();
    await using _ = { [Symbol.asyncDispose]: () => lipsync.close() };
    const items = [{ videoPath: 's3://clips/clip.mp4', audioPath: join(folder, 'speech.wav') }];
    const batch = await lipsync.batchGenerateLipsync({ outputDir: join(folder, 'bucket'), method: 'preview', items });
    expect(batch.items).toMatchObject([{ status: 'failed', error: { code: 'url_forbidden' } }]);
  });

  it('The flag --max-cost-usd limits the items together: those that it does not cover fail.', async () => {
    vi.stubEnv('LIPSYNC_GPU_USD_PER_HOUR', '3600');
    const path = await manifest('video,audio\nclip.mp4,speech.wav\nclip.mp4,speech.wav\n');
    const args = ['batch', path, '-o', join(folder, 'capped'), '--method', 'preview', '--concurrency', '1', '--json'];
    const refused = JSON.parse((await runCli(...args, '--max-cost-usd', '0.000001')).stdout);
    expect(refused.results).toMatchObject([
      { status: 'failed', error: { code: 'budget_exceeded', message: expect.stringContaining('of the batch') } },
      { status: 'failed', error: { code: 'budget_exceeded' } },
    ]);
    const covered = JSON.parse((await runCli(...args, '--max-cost-usd', '100')).stdout);
    expect(covered.summary).toMatchObject({ success: 2 });
    expect(covered.summary.total_cost_usd).toBeGreaterThan(0);
    vi.stubEnv('LIPSYNC_GPU_USD_PER_HOUR', '0');
  });
});
