import { readdir, readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { OutputMarker } from '../../src/marking/output-marker.ts';
import { makeTake } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';

const anywhere = { signal: new AbortController().signal, canRun: () => true };
const outputKey = 'outputs/job_1/output.mp4';

let bench: RunnerBench;
beforeEach(async () => {
  bench = await openRunnerBench();
  await bench.accept();
});
afterEach(() => bench.remove());

const mark: OutputMarker['mark'] = async ({ takePath, provider }) => {
  await writeFile(`${takePath}.marked`, `${await readFile(takePath, 'utf8')}, marked as of ${provider}`);
  return { path: `${takePath}.marked`, warnings: [] };
};

const run = (marker: Pick<OutputMarker, 'mark'>, change = {}) =>
  bench.runner(makeTake, { marker, ...change }).run('job_1', anywhere);

describe('The mark of an output', () => {
  it('The marked copy is published, and no work file remains.', async () => {
    expect(await run({ mark })).toMatchObject({ status: 'completed', warnings: [{ code: 'degraded' }] });
    expect(await text(await bench.artifacts.read(outputKey))).toBe(
      'the clip speaking the speech, marked as of preview',
    );
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('A lost process is replaced once.', async () => {
    let tries = 0;
    const fragile: OutputMarker['mark'] = async (take, signal) => {
      tries += 1;
      if (tries === 1) throw new LipsyncError('media_failed', 'The render process ended.');
      return mark(take, signal);
    };
    expect((await run({ mark: fragile })).warnings).toEqual([expect.objectContaining({ code: 'degraded' })]);
    expect(tries).toBe(2);
  });

  it('An output that cannot be marked is delivered with a warning that names the reason.', async () => {
    const refuse: OutputMarker['mark'] = async () => {
      throw new LipsyncError('media_failed', 'The index of the video is damaged.');
    };
    expect(await run({ mark: refuse })).toMatchObject({
      status: 'completed',
      warnings: [
        { code: 'degraded' },
        {
          code: 'output_not_marked',
          message: expect.stringContaining('The index of the video is damaged.'),
        },
      ],
    });
    expect(await text(await bench.artifacts.read(outputKey))).toBe('the clip speaking the speech');
  });

  it('A job that cannot write the marked copy waits for room instead of publishing an unmarked output.', async () => {
    let isFull = true;
    const marker: OutputMarker['mark'] = async (take, signal) => {
      if (isFull) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
      return mark(take, signal);
    };
    expect(await run({ mark: marker })).toMatchObject({ status: 'processing', stage: 'waiting' });
    isFull = false;
    expect(await run({ mark: marker })).toMatchObject({ status: 'completed', warnings: [{ code: 'degraded' }] });
    expect(await text(await bench.artifacts.read(outputKey))).toContain('marked as of preview');
  });

  it('A job that ends while its output is marked publishes nothing.', async () => {
    const release = new AbortController();
    const marker: OutputMarker['mark'] = async () => {
      release.abort();
      throw new LipsyncError('media_failed', 'The render process ended.');
    };
    const runner = bench.runner(makeTake, { marker: { mark: marker } });
    const running = runner.run('job_1', { ...anywhere, signal: release.signal });
    await expect(running).rejects.toMatchObject({ code: 'canceled' });
    expect(await bench.artifacts.stat(outputKey)).toBeUndefined();
  });
});
