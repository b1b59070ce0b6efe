import { expect, it } from 'vitest';
import { OutageLog } from './outage-log.ts';

it('A part that fails 15 times per second for three minutes is logged once, then once per minute, and once when it has worked for a while.', () => {
  const lines: (readonly [number, string, string])[] = [];
  let nowMs = 0;
  const write =
    (level: string) =>
    (_fields: object, message: string): void =>
      void lines.push([nowMs / 1_000, level, message]);
  const log = new OutageLog({ logger: { info: write('info'), warn: write('warn') }, clock: { nowMs: () => nowMs } });
  log.worked('redis');
  for (; nowMs < 150_000; nowMs += 1_000 / 15) {
    const reason = nowMs < 90_000 ? 'unreachable' : 'not_ready';
    log.failed('redis', { reason, message: reason });
  }
  for (; nowMs < 160_000; nowMs += 1_000) log.worked('redis');
  expect(lines.map(([seconds, ...line]) => [Math.round(seconds), ...line])).toEqual([
    [0, 'warn', 'unreachable'],
    [60, 'warn', 'unreachable'],
    [90, 'warn', 'not_ready'],
    [155, 'info', 'redis works again'],
  ]);
});

it('A part that fails every other second is logged once.', () => {
  const lines: string[] = [];
  let nowMs = 0;
  const write = (_fields: object, message: string): void => void lines.push(message);
  const log = new OutageLog({ logger: { info: write, warn: write }, clock: { nowMs: () => nowMs } });
  for (; nowMs < 50_000; nowMs += 2_000) {
    log.failed('redis', { reason: 'out_of_memory', message: 'full' });
    nowMs += 2_000;
    expect(log.worked('redis')).toBe(false);
  }
  expect(lines).toEqual(['full']);
});
