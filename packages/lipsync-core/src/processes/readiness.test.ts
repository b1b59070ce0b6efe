import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { silentLogger, systemClock } from '../contract/system-ports.ts';
import { LipsyncError } from '../errors/index.ts';
import { Readiness } from './readiness.ts';

it('Many callers at once and in quick succession share one check, whose result is then renewed.', async () => {
  let checks = 0;
  const check = async (): Promise<void> => {
    checks += 1;
    await delay(50);
  };
  const readiness = new Readiness({
    checks: [{ name: 'disk', check }],
    clock: systemClock,
    logger: silentLogger,
    cacheMs: 200,
  });
  await Promise.all(Array.from({ length: 100 }, () => readiness.read()));
  await readiness.read();
  expect(checks).toBe(1);
  await delay(300);
  await readiness.read();
  expect(checks).toBe(2);
});

it('A check that hangs counts as failed within the limit and is not started again.', async () => {
  let checks = 0;
  const hanging = Promise.withResolvers<void>();
  const check = (): Promise<void> => {
    checks += 1;
    return hanging.promise;
  };
  const readiness = new Readiness({
    checks: [{ name: 'disk', check }],
    clock: systemClock,
    logger: silentLogger,
    checkLimitMs: 50,
    cacheMs: 0,
  });
  for (let call = 0; call < 3; call += 1) {
    expect(await readiness.read()).toEqual([{ name: 'disk', reason: 'It does not respond in time.' }]);
    await delay(20);
  }
  expect(checks).toBe(1);
  hanging.resolve();
  await delay(20);
  expect(await readiness.read()).toEqual([{ name: 'disk', reason: null }]);
});

it('A part that fails at every call is logged once, with the code as the reason.', async () => {
  const lines: [object, string][] = [];
  const check = (): Promise<void> => Promise.reject(new LipsyncError('resource_exhausted', 'The disk is full.'));
  const readiness = new Readiness({
    checks: [{ name: 'disk', check }],
    clock: systemClock,
    logger: { ...silentLogger, warn: (...line) => void lines.push(line) },
    cacheMs: 0,
  });
  for (let call = 0; call < 5; call += 1) {
    await readiness.read();
    await delay(10);
  }
  expect(lines).toEqual([
    [expect.objectContaining({ part: 'disk', reason: 'resource_exhausted' }), 'disk: The disk is full.'],
  ]);
});

it('A service that stops is not ready, without a check of its parts.', async () => {
  let checks = 0;
  const check = async (): Promise<void> => void (checks += 1);
  const readiness = new Readiness({ checks: [{ name: 'disk', check }], clock: systemClock, logger: silentLogger });
  readiness.stop();
  expect(await readiness.read()).toEqual([{ name: 'process', reason: 'It is stopping.' }]);
  expect(checks).toBe(0);
});
