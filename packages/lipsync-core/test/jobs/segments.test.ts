import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { jobCanceled } from '../../src/jobs/stop-signal.ts';
import { probeTake } from '../../src/media/index.ts';
import type { TakeContext } from '../../src/providers/provider.ts';
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
    const cutOff = list && (await bench.board.lease(list));
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
    const { provider: dying, reached } = dyingProvider();
    const stop = new AbortController();
    const making = bench.takes().make(dying, await bench.nextRequest(), { ...context, signal: stop.signal });
    await reached;
    stop.abort(new Error('killed'));
    await expect(making).rejects.toThrow('killed');
    bench.skippedMs += longMs;
    const next = new PassThroughProvider();
    // No other worker is alive: the list of the earlier run is still used.
    const take = await bench.takes({ others: 0 }).make(next, await bench.nextRequest(), context);
    expect((await probeTake(take.path)).frameCount).toBe(frameCount);
    expect(framesIn([...dying.rendered, ...next.rendered])).toBe(frameCount);
    expect(dying.rendered).toHaveLength(1);
    await bench.board.remove(bench.request.jobId);
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
