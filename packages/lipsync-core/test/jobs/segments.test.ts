import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { LipsyncError, StorageError } from '../../src/errors/index.ts';
import { jobCanceled, RunSuperseded } from '../../src/jobs/stop-signal.ts';
import { probeTake } from '../../src/media/index.ts';
import type { TakeContext } from '../../src/providers/provider.ts';
import { StorageUnavailable } from '../../src/storage/store-failure.ts';
import { frameCount, limitMs, PassThroughProvider, SegmentBench } from './segment-bench.ts';

/** Longer than a lease. */
const longMs = 60_000;

let bench: SegmentBench;
let context: TakeContext;

beforeAll(async () => {
  bench = await SegmentBench.open();
});
beforeEach(() => {
  context = { signal: AbortSignal.timeout(limitMs), onProgress: () => undefined };
  bench.startJob();
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => bench.close());

/** A provider that stops working at its second segment, and what it waits for. */
function dyingProvider() {
  const provider = new PassThroughProvider();
  const reached = Promise.withResolvers<void>();
  provider.before = (signal) => {
    if (provider.rendered.length === 0) return Promise.resolve();
    reached.resolve();
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  };
  return { provider, reached: reached.promise };
}

/** Ends the worker of the job in its second segment. Returns the provider, which has rendered the first one. */
async function dieInSecondSegment(): Promise<PassThroughProvider> {
  const { provider, reached } = dyingProvider();
  const stop = new AbortController();
  const making = bench.takes().make(provider, await bench.nextRequest(), { ...context, signal: stop.signal });
  await reached;
  stop.abort(new Error('killed'));
  await expect(making).rejects.toThrow('killed');
  return provider;
}

describe('A long take', { timeout: 120_000 }, () => {
  it('is rendered by two workers, each segment once, and leaves no file once its job has ended.', async () => {
    const [first, second] = [new PassThroughProvider(), new PassThroughProvider()];
    const helped: Promise<string>[] = [];
    const fractions: number[] = [];
    const request = await bench.nextRequest();
    const takes = bench.takes({ offer: () => void helped.push(bench.help(second)) });
    const take = await takes.make(first, request, {
      ...context,
      onProgress: ({ stage, fraction }) => stage === 'rendering' && fractions.push(fraction),
    });
    await Promise.all(helped);
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    expect(first.rendered.length).toBeGreaterThan(0);
    expect(second.rendered.length).toBeGreaterThan(0);
    expect(framesIn([...first.rendered, ...second.rendered])).toBe(frameCount);
    expect(take.workElsewhereMs).toBeGreaterThan(0);
    expect(take).toMatchObject({ modelPrecision: 'int8' });
    expect(take).not.toHaveProperty('reusesSegments');
    expect(fractions.at(-1)).toBe(1);
    expect(await bench.outputs()).not.toEqual([]);
    await bench.board.remove(request.jobId);
    expect(await bench.outputs()).toEqual([]);
  });

  it('is completed when another worker dies: only the segment that it had begun is rendered again.', async () => {
    const [first, second] = [new PassThroughProvider(), new PassThroughProvider()];
    const waiting = Promise.withResolvers<void>();
    first.before = () => waiting.promise;
    const helper = bench.helper(second);
    const { jobId } = bench.request;
    let helped: Promise<string> | undefined;
    const offer = () => void (helped ??= helper.help(jobId, { ...context, isNeededElsewhere: async () => true }));
    const offered = Promise.withResolvers<void>();
    const takes = bench.takes({
      offer: () => {
        offer();
        offered.resolve();
      },
    });
    const making = takes.make(first, await bench.nextRequest(), context);
    await offered.promise;
    expect(await helped).toBe('interrupted');
    const list = await bench.board.read(jobId);
    const cutOff = list && (await bench.board.lease(list, 'helper'));
    if (!cutOff) throw new Error('No segment is left.');
    bench.skippedMs += longMs;
    waiting.resolve();
    expect((await probeTake((await making).path)).frameCount).toBe(frameCount);
    expect(framesIn([...first.rendered, ...second.rendered])).toBe(frameCount);
    expect(second.rendered).toHaveLength(1);
    // It was only stopped for a while: its segment is no longer its own.
    expect(await bench.board.finish(cutOff, { workMs: 1, warnings: [] })).toBeUndefined();
    await bench.board.remove(jobId);
  });

  it('continues with the finished segments when the worker of the job dies.', async () => {
    const dying = await dieInSecondSegment();
    bench.skippedMs += longMs;
    const next = new PassThroughProvider();
    // No other worker is alive: the list of the earlier run is still used.
    const take = await bench.takes({ others: 0 }).make(next, await bench.nextRequest(), context);
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    expect(framesIn([...dying.rendered, ...next.rendered])).toBe(frameCount);
    expect(dying.rendered).toHaveLength(1);
    await bench.board.remove(bench.request.jobId);
  });

  it('is rendered again by the next attempt when the file of a finished segment is gone.', async () => {
    await dieInSecondSegment();
    const { jobId } = bench.request;
    const key = (await bench.board.read(jobId))?.segments.find(({ finished }) => finished)?.finished?.key ?? '';
    await bench.artifacts.delete(key);
    bench.skippedMs += longMs;
    const next = new PassThroughProvider();
    const failing = bench.takes({ others: 0 }).make(next, await bench.nextRequest(), context);
    await expect(failing).rejects.toMatchObject({ code: 'media_failed' });
    const take = await bench.takes().make(next, await bench.nextRequest(), context);
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    await bench.board.remove(jobId);
  });

  it('is not removed by a superseded run: the run that took over continues with its list and its segments.', async () => {
    const dying = await dieInSecondSegment();
    const { jobId } = bench.request;
    bench.skippedMs += longMs;
    const list = await bench.board.takeOver(jobId, 2);
    const superseded = { ...context, run: 1 };
    const late = new PassThroughProvider();
    await expect(bench.takes().make(late, await bench.nextRequest(), superseded)).rejects.toBeInstanceOf(RunSuperseded);
    await bench.board.remove(jobId, superseded);
    if (list) await bench.board.pause({ ...list, run: 1 }, new Set());
    expect(await bench.board.read(jobId)).toEqual(list);
    const next = new PassThroughProvider();
    const take = await bench.takes({ others: 0 }).make(next, await bench.nextRequest(), { ...context, run: 2 });
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    expect(framesIn([...dying.rendered, ...next.rendered])).toBe(frameCount);
    expect(late.rendered).toEqual([]);
    await bench.board.remove(jobId, { run: 2 });
    expect(await bench.outputs()).toEqual([]);
  });

  it('is not removed by a run that is superseded before its join fails.', async () => {
    await dieInSecondSegment();
    const { jobId } = bench.request;
    const key = (await bench.board.read(jobId))?.segments.find(({ finished }) => finished)?.finished?.key ?? '';
    await bench.artifacts.delete(key);
    bench.skippedMs += longMs;
    const first = new PassThroughProvider();
    first.before = async () => void (await bench.board.takeOver(jobId, 2));
    const failing = bench.takes({ others: 0 }).make(first, await bench.nextRequest(), { ...context, run: 1 });
    await expect(failing).rejects.toMatchObject({ code: 'media_failed' });
    expect((await bench.board.read(jobId))?.segments.length).toBeGreaterThan(0);
    await bench.board.remove(jobId);
  });

  it('stops on every worker when its job is canceled.', async () => {
    const { provider: slow, reached } = dyingProvider();
    const stop = new AbortController();
    let helped: Promise<string> | undefined;
    const first = dyingProvider();
    const request = await bench.nextRequest();
    const takes = bench.takes({ offer: () => void (helped ??= bench.help(slow)) });
    const making = takes.make(first.provider, request, { ...context, signal: stop.signal });
    await Promise.all([reached, first.reached]);
    stop.abort(jobCanceled());
    await expect(making).rejects.toMatchObject({ code: 'canceled' });
    await bench.board.remove(request.jobId);
    expect(await helped).toBe('done');
    expect(await bench.outputs()).toEqual([]);
  });

  it('is charged once for segments that a later attempt reuses.', async () => {
    const provider = new PassThroughProvider();
    provider.before = async () => {
      if (provider.rendered.length === 1) throw new LipsyncError('media_failed', 'The engine was lost.');
    };
    const failing = bench.takes().make(provider, await bench.nextRequest(), context);
    await expect(failing).rejects.toMatchObject({ code: 'media_failed' });
    const list = await bench.board.read(bench.request.jobId);
    expect(list?.segments.flatMap(({ finished }) => finished ?? [])).toMatchObject([{ workMs: 0 }]);
    provider.before = () => Promise.resolve();
    const helper = new PassThroughProvider();
    // The failed attempt is charged for no other worker.
    expect(await bench.help(helper)).toBe('done');
    expect(helper.rendered).toEqual([]);
    const take = await bench.takes().make(provider, await bench.nextRequest(), context);
    expect(take).toMatchObject({ workElsewhereMs: 0, reusesSegments: true });
    expect(framesIn(provider.rendered)).toBe(frameCount);
    await bench.board.remove(bench.request.jobId);
  });

  it('waits for room when a segment cannot be stored: that is no failure of its provider.', async () => {
    const { publish } = bench.artifacts;
    vi.spyOn(bench.artifacts, 'publish').mockImplementation((path, key) =>
      key.endsWith('.mp4')
        ? Promise.reject(new StorageError('resource_exhausted', '/outputs', 'The disk is full.', new Error('ENOSPC')))
        : publish.call(bench.artifacts, path, key),
    );
    const making = bench.takes().make(new PassThroughProvider(), await bench.nextRequest(), context);
    await expect(making).rejects.toBeInstanceOf(StorageUnavailable);
    await bench.board.remove(bench.request.jobId);
  });

  it('keeps the lease of a segment during its upload, and takes none before the files are fetched, which stops when the worker stops.', async () => {
    const { provider: dying, reached } = dyingProvider();
    const stop = new AbortController();
    const making = bench.takes().make(dying, await bench.nextRequest(), { ...context, signal: stop.signal });
    await reached;
    stop.abort(new Error('stopped'));
    await expect(making).rejects.toThrow('stopped');
    const { jobId } = bench.request;
    const { materialize, publish } = bench.artifacts;
    const leaving = new AbortController();
    const fetch = vi.spyOn(bench.artifacts, 'materialize').mockImplementation(async () => leaving.abort());
    await expect(bench.help(new PassThroughProvider(), leaving.signal)).rejects.toThrow();
    expect(fetch).toHaveBeenCalledOnce();
    const leasesDuring: (readonly unknown[])[] = [];
    const note = async (): Promise<void> => {
      const list = await bench.board.read(jobId);
      leasesDuring.push(list?.segments.filter(({ lease }) => lease !== null) ?? []);
    };
    vi.spyOn(bench.artifacts, 'materialize').mockImplementation(async (key, path) => {
      await note();
      await materialize.call(bench.artifacts, key, path);
    });
    const renew = vi.spyOn(bench.board, 'renew');
    vi.spyOn(bench.artifacts, 'publish').mockImplementation(async (path, key) => {
      const renewals = renew.mock.calls.length;
      await expect.poll(() => renew.mock.calls.length, { timeout: 20_000 }).toBeGreaterThan(renewals);
      return publish.call(bench.artifacts, path, key);
    });
    const helper = bench.helper(new PassThroughProvider());
    expect(await helper.help(jobId, { ...context, isNeededElsewhere: async () => true })).toBe('interrupted');
    expect(leasesDuring.flat()).toEqual([]);
    await bench.board.remove(jobId);
  });

  it('is not joined while its list is being removed, and a new list survives that.', async () => {
    const { provider, reached } = dyingProvider();
    const making = bench.takes().make(provider, await bench.nextRequest(), context);
    const failure = making.catch((error: unknown) => error);
    await reached;
    const { jobId } = bench.request;
    const removed = await bench.board.read(jobId);
    if (!removed) throw new Error('No list was stored.');
    const { delete: deleteFile } = bench.artifacts;
    const going = Promise.withResolvers<void>();
    vi.spyOn(bench.artifacts, 'delete').mockImplementation(async (key) => {
      await going.promise;
      await deleteFile.call(bench.artifacts, key);
    });
    const removing = bench.board.remove(jobId);
    expect(await failure).toMatchObject({ code: 'media_failed' });
    const next = await bench.board.create(removed);
    expect(next.segments).toHaveLength(removed.segments.length);
    going.resolve();
    await removing;
    expect((await bench.board.read(jobId))?.id).toBe(next.id);
    await bench.board.remove(jobId);
    expect(await bench.outputs()).toEqual([]);
  });

  it('is rendered by one worker while no other one is alive, or has the same engine.', async () => {
    const [alone, stranger] = [new PassThroughProvider(), new PassThroughProvider()];
    await bench.takes({ others: 0 }).make(alone, await bench.nextRequest(), context);
    expect(alone.rendered).toEqual([`0-${frameCount}`]);
    const helper = bench.helper(stranger, 'later engine');
    const offered: Promise<string>[] = [];
    const offer = () =>
      void offered.push(helper.help(bench.request.jobId, { ...context, isNeededElsewhere: async () => false }));
    const take = await bench.takes({ offer }).make(alone, await bench.nextRequest(), context);
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    expect(new Set(await Promise.all(offered))).toEqual(new Set(['done']));
    expect(stranger.rendered).toEqual([]);
  });
});

function framesIn(ranges: readonly string[]): number {
  return ranges.reduce((sum, range) => {
    const [start = 0, end = 0] = range.split('-').map(Number);
    return sum + end - start;
  }, 0);
}
