import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTimesCollector } from './packet-times.ts';

const frameTimes = fc.array(
  fc.integer({ min: -1_000, max: 100_000 }).map((tick) => tick / 90),
  { maxLength: 400 },
);

describe('collecting the times of packets', () => {
  it('puts them in order, whatever order they come in, and knows how long the last one lasts', () => {
    fc.assert(
      fc.property(frameTimes, (times) => {
        const collector = createTimesCollector();
        times.forEach((time, index) => collector.add(time, index + 1, false));
        const { times: collected, lastDurationS, packetCount } = collector.finish();
        expect([...collected]).toEqual(times.toSorted((one, other) => one - other));
        expect(packetCount).toBe(times.length);
        expect(lastDurationS).toBe(times.length === 0 ? undefined : times.lastIndexOf(Math.max(...times)) + 1);
      }),
    );
  });

  it('orders times that come in backwards from end to end', () => {
    const collector = createTimesCollector();
    for (let index = 40_000; index > 0; index -= 1) collector.add(index, 1, false);
    const { times } = collector.finish();
    expect(times).toEqual(Float64Array.from({ length: 40_000 }, (_, index) => index + 1));
    expect(collector.spanS).toBe(39_999);
  });

  it('counts hidden packets but leaves out their times', () => {
    const collector = createTimesCollector();
    collector.add(0, 1, true);
    collector.add(1, 1, false);
    expect(collector.finish()).toEqual({ times: Float64Array.of(1), lastDurationS: 1, packetCount: 2 });
    expect(collector.spanS).toBe(0);
  });
});
