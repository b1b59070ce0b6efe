import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { OutputFingerprints } from '../../src/fingerprint/output-fingerprints.ts';
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

const run = (save: OutputFingerprints['save'], signal = anywhere.signal) =>
  bench
    .runner(makeTake, { fingerprints: { save, delete: async () => undefined } })
    .run('job_1', { ...anywhere, signal });

/** A store of fingerprints that keeps the ids of their jobs only. */
function rememberedFingerprints() {
  const stored = new Set<string>();
  const fingerprints = {
    save: async (_: unknown, { id }: { readonly id: string }) => void stored.add(id),
    delete: async (id: string) => void stored.delete(id),
  };
  return { stored, fingerprints };
}

describe('The fingerprint of an output', () => {
  it('It is stored before the output is published.', async () => {
    const published: boolean[] = [];
    const record = await run(async (_, { id }) => {
      expect(id).toBe('job_1');
      published.push((await bench.artifacts.stat(outputKey)) !== undefined);
    });
    expect([record.status, published]).toEqual(['completed', [false]]);
  });

  it('An output without one is delivered.', async () => {
    const failing = async () => {
      throw new Error('no store');
    };
    expect(await run(failing)).toMatchObject({ status: 'completed' });
  });

  it('It is deleted when the output cannot be published, and kept while that is tried again.', async () => {
    const { stored, fingerprints } = rememberedFingerprints();
    const publish = () => Promise.reject(new LipsyncError('internal', 'The store refuses the file.'));
    const publishing = (isPublishRetried: () => boolean) =>
      bench.runner(makeTake, { fingerprints, publish, isPublishRetried }).run('job_1', anywhere);
    expect([(await publishing(() => true)).status, [...stored]]).toEqual(['processing', ['job_1']]);
    bench.time.nowMs += 3_600_000;
    expect([(await publishing(() => false)).status, [...stored]]).toEqual(['failed', []]);
  });

  it('It is deleted when the job is canceled before its output is published.', async () => {
    const { stored, fingerprints } = rememberedFingerprints();
    const publish = () => Promise.reject(new LipsyncError('internal', 'The store is away.'));
    const runner = bench.runner(makeTake, { fingerprints, publish, isPublishRetried: () => true });
    expect([(await runner.run('job_1', anywhere)).status, [...stored]]).toEqual(['processing', ['job_1']]);
    await bench.store.append('job_1', { type: 'cancel_requested' });
    bench.time.nowMs += 3_600_000;
    expect([(await runner.run('job_1', anywhere)).status, [...stored]]).toEqual(['canceled', []]);
  });

  it('A job that ends while its output is read publishes nothing.', async () => {
    const release = new AbortController();
    const running = run(async () => {
      release.abort();
      throw new Error('ended');
    }, release.signal);
    await expect(running).rejects.toMatchObject({ code: 'canceled' });
    expect(await bench.artifacts.stat(outputKey)).toBeUndefined();
  });
});
