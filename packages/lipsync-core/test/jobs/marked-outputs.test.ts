import { readdir, readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import type { OutputLabeler } from '../../src/jobs/output-labels.ts';
import type { OutputMarker } from '../../src/marking/output-marker.ts';
import { StoreFailure } from '../../src/storage/store-failure.ts';
import { makeTake } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench, type RunnerOptions } from './runner-bench.ts';

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

const refuse: OutputMarker['mark'] = async () => {
  throw new LipsyncError('media_failed', 'The index of the video is damaged.');
};
const fullDisk: OutputMarker['mark'] = async () => {
  throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
};
const neverCalled: OutputMarker['mark'] = () => Promise.reject(new Error('The output was marked again.'));

/** A store whose process is killed before it stores the end of the job. */
function killedAtTheEnd(): JobStore {
  const { store } = bench;
  const append: JobStore['append'] = (id, event) =>
    event.type === 'completed' ? Promise.reject(new Error('killed')) : store.append(id, event);
  return new Proxy(store, { get: (target, name) => (name === 'append' ? append : Reflect.get(target, name)) });
}

type Marker = Pick<OutputMarker, 'mark'> & Partial<Pick<OutputMarker, 'isRequired'>>;

const run = (marker: Marker, change: Partial<RunnerOptions> = {}) =>
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

  it('Where marks are required, the job of an output that cannot be marked fails and publishes nothing.', async () => {
    expect(await run({ mark: refuse, isRequired: true })).toMatchObject({
      status: 'failed',
      error: { code: 'marking_failed', message: expect.stringContaining('The index of the video is damaged.') },
    });
    expect(await bench.artifacts.stat(outputKey)).toBeUndefined();
  });

  it('A job whose run is killed after it has published an unmarked output completes with the warning.', async () => {
    await run({ mark: fullDisk });
    await expect(run({ mark: refuse }, { store: killedAtTheEnd() })).rejects.toThrow('killed');
    const { warnings, status } = await run({ mark: neverCalled });
    expect(status).toBe('completed');
    expect(warnings.map(({ code }) => code)).toEqual(['degraded', 'output_not_marked']);
  });

  it('The warning of a run that was killed before it published is dropped when a later run marks the output.', async () => {
    await run({ mark: fullDisk });
    const publish = () => Promise.reject(new StoreFailure(new Error('killed')));
    await expect(run({ mark: refuse }, { publish })).rejects.toThrow('killed');
    await expect(run({ mark }, { store: killedAtTheEnd() })).rejects.toThrow('killed');
    expect((await run({ mark: neverCalled })).warnings.map(({ code }) => code)).toEqual(['degraded']);
    expect(await text(await bench.artifacts.read(outputKey))).toContain('marked as of preview');
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

  it('The take of a vendor is labeled before it is marked, and no work file remains.', async () => {
    const label: OutputLabeler['label'] = async (takePath, { provider }) => {
      await writeFile(`${takePath}.labeled`, `${await readFile(takePath, 'utf8')}, labeled for ${provider}`);
      return `${takePath}.labeled`;
    };
    expect((await run({ mark }, { labeler: { label } })).status).toBe('completed');
    const output = await text(await bench.artifacts.read(outputKey));
    expect(output).toBe('the clip speaking the speech, labeled for preview, marked as of preview');
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('An output that cannot be labeled is marked and delivered with a warning.', async () => {
    const label = () => Promise.reject(new LipsyncError('media_failed', 'The labeled take is incomplete.'));
    const { warnings } = await run({ mark }, { labeler: { label } });
    expect(warnings.map(({ code }) => code)).toEqual(['degraded', 'output_not_labeled']);
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
