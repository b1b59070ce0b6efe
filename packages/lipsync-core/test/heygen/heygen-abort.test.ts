import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FaultRuleInput, RouteName } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { calm, doneOf, errorOf, startOf, useHeygen } from './heygen-bench.ts';

const heygen = useHeygen();
const canceled = new LipsyncError('canceled', 'Nobody wants it any more.');

/** Aborts as soon as the stand-in has been asked for `route`, which takes its time. */
function abortAt(route: RouteName): AbortSignal {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (!heygen.standin.control.log().some((entry) => entry.route === route)) return;
    clearInterval(timer);
    controller.abort(canceled);
  }, 5);
  return controller.signal;
}

const slow = (route: RouteName): FaultRuleInput => ({ match: { route }, fault: { kind: 'delay', delayMs: 5_000 } });

describe('an abort', () => {
  it.each<[RouteName, number]>([
    ['upload', 32_000_000],
    ['create', 32_000_000],
    ['direct_upload', 1_000],
    ['put', 1_000],
    ['complete', 1_000],
  ])('ends a start at once, with its reason, and leaves no file: at %s', async (route, simpleUploadMaxBytes) => {
    heygen.standin.control.addFaults(slow(route));
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes } });
    const request = await heygen.request();
    const signal = abortAt(route);
    const aborted = new Promise<number>((resolve) =>
      signal.addEventListener('abort', () => resolve(performance.now())),
    );
    const error = await errorOf(startOf(provider, request, signal));
    expect(error).toBe(canceled);
    expect(performance.now() - (await aborted)).toBeLessThan(2_000);
    expect(await readdir(dirname(request.takePath))).toEqual([]);
  });

  it('ends a start while the clip is still made to fit, before anything is asked', async () => {
    const controller = new AbortController();
    const request = await heygen.request({ clip: 'foreign', speech: 'long' });
    const provider = heygen.provider();
    const onProgress = ({ stage }: { readonly stage: string }): void => {
      if (stage === 'preparing') controller.abort(canceled);
    };
    expect(
      await errorOf(
        provider.prepareRequest(request, {
          signal: controller.signal,
          onProgress,
          replaced: null,
          idempotencyKey: 'k',
        }),
      ),
    ).toBe(canceled);
    expect(heygen.standin.control.log()).toEqual([]);
    expect(await readdir(dirname(request.takePath))).toEqual([]);
  });

  it('ends a question, a deletion and a wait for the storage', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 1_000 });
    heygen.standin.control.addFaults(slow('get'), slow('delete'));
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 1_000, retryPauseMs: 60_000 } });
    const operation = { id: 'any', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } };
    expect(await errorOf(provider.check(operation, { ...calm, signal: abortAt('get') }))).toBe(canceled);
    expect(await errorOf(provider.cancel(operation, { signal: abortAt('delete') }))).toBe(canceled);
    const request = await heygen.request();
    expect(await errorOf(startOf(provider, request, abortAt('complete')))).toBe(canceled);
  });

  it.each<[string, FaultRuleInput['fault']]>([
    ['the server is silent', { kind: 'delay', delayMs: 5_000 }],
    ['the video arrives', { kind: 'stall' }],
  ])('ends a download while %s, and leaves no file', async (_, fault) => {
    const provider = heygen.provider();
    const { operation } = await doneOf(provider, await heygen.placed());
    heygen.standin.control.addFaults({ match: { route: 'download' }, fault, times: 'always' });
    const request = await heygen.request();
    expect(await errorOf(provider.collect(operation, request, { ...calm, signal: abortAt('download') }))).toBe(
      canceled,
    );
    expect(await readdir(dirname(request.takePath))).toEqual([]);
  });

  it('that came before the beginning lets nothing begin', async () => {
    const signal = AbortSignal.abort(canceled);
    const provider = heygen.provider();
    const request = await heygen.request();
    const operation = { id: 'any', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } };
    expect(await errorOf(startOf(provider, request, signal))).toBe(canceled);
    expect(await errorOf(provider.check(operation, { ...calm, signal }))).toBe(canceled);
    expect(await errorOf(provider.collect(operation, request, { ...calm, signal }))).toBe(canceled);
    expect(await errorOf(provider.cancel(operation, { signal }))).toBe(canceled);
    expect(heygen.standin.control.log()).toEqual([]);
  });
});
