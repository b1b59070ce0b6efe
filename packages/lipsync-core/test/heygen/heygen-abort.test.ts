import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FaultRuleInput, RouteName } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { takeContext, waitForDone, catchError, prepareAndStart, useHeygen } from './heygen-fixture.ts';

const heygen = useHeygen();
const canceled = new LipsyncError('canceled', 'The caller canceled the job.');

/** Aborts when the stand-in receives a request to `route`, which responds slowly. */
function abortAt(route: RouteName): AbortSignal {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (!heygen.standin.control.log().some((entry) => entry.route === route)) return;
    clearInterval(timer);
    controller.abort(canceled);
  }, 5);
  return controller.signal;
}

const slow = (route: RouteName): FaultRuleInput => ({ match: { route }, fault: { kind: 'delay', delayMs: 20_000 } });

describe('abort', () => {
  it.each<[RouteName, number]>([
    ['upload', 32_000_000],
    ['create', 32_000_000],
    ['direct_upload', 1_000],
    ['put', 1_000],
    ['complete', 1_000],
  ])(
    'An abort during %s ends the start immediately with its reason and leaves no file.',
    async (route, simpleUploadMaxBytes) => {
      heygen.standin.control.addFaults(slow(route));
      const provider = heygen.provider({ limits: { simpleUploadMaxBytes } });
      const request = await heygen.request();
      const signal = abortAt(route);
      const aborted = new Promise<number>((resolve) =>
        signal.addEventListener('abort', () => resolve(performance.now())),
      );
      const error = await catchError(prepareAndStart(provider, request, signal));
      expect(error).toBe(canceled);
      expect(performance.now() - (await aborted)).toBeLessThan(10_000);
      expect(await readdir(dirname(request.takePath))).toEqual([]);
    },
  );

  it('An abort while inputs are prepared sends no request and leaves no file.', async () => {
    const controller = new AbortController();
    const request = await heygen.request({ clip: 'foreign', speech: 'long' });
    const provider = heygen.provider();
    const onProgress = ({ stage }: { readonly stage: string }): void => {
      if (stage === 'preparing') controller.abort(canceled);
    };
    expect(
      await catchError(
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

  it('An abort ends a status check, a cancellation and a wait for the storage.', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 1_000 });
    heygen.standin.control.addFaults(slow('get'), slow('delete'));
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 1_000, retryPauseMs: 60_000 } });
    const operation = { id: 'any', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } };
    expect(await catchError(provider.check(operation, { ...takeContext, signal: abortAt('get') }))).toBe(canceled);
    expect(await catchError(provider.cancel(operation, { signal: abortAt('delete') }))).toBe(canceled);
    const request = await heygen.request();
    expect(await catchError(prepareAndStart(provider, request, abortAt('complete')))).toBe(canceled);
  });

  it.each<[string, FaultRuleInput['fault']]>([
    ['before the response', { kind: 'delay', delayMs: 20_000 }],
    ['during the body', { kind: 'stall' }],
  ])('An abort %s ends a download and leaves no file.', async (_, fault) => {
    const provider = heygen.provider();
    const { operation } = await waitForDone(provider, await heygen.createOperation());
    heygen.standin.control.addFaults({ match: { route: 'download' }, fault, times: 'always' });
    const request = await heygen.request();
    expect(
      await catchError(provider.collect(operation, request, { ...takeContext, signal: abortAt('download') })),
    ).toBe(canceled);
    expect(await readdir(dirname(request.takePath))).toEqual([]);
  });

  it('An abort before a call sends no request.', async () => {
    const signal = AbortSignal.abort(canceled);
    const provider = heygen.provider();
    const request = await heygen.request();
    const operation = { id: 'any', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } };
    expect(await catchError(prepareAndStart(provider, request, signal))).toBe(canceled);
    expect(await catchError(provider.check(operation, { ...takeContext, signal }))).toBe(canceled);
    expect(await catchError(provider.collect(operation, request, { ...takeContext, signal }))).toBe(canceled);
    expect(await catchError(provider.cancel(operation, { signal }))).toBe(canceled);
    expect(heygen.standin.control.log()).toEqual([]);
  });
});
