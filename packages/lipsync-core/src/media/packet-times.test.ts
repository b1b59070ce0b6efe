import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimesCollector } from './ffprobe.ts';

const frameTimes = fc.array(
  fc.integer({ min: -1_000, max: 100_000 }).map((tick) => tick / 90),
  { maxLength: 400 },
);

describe('TimesCollector', () => {
  it('Packet times in any order are sorted, and the duration of the last packet is kept.', () => {
    fc.assert(
      fc.property(frameTimes, (times) => {
        const collector = new TimesCollector();
        times.forEach((time, index) => collector.add(time, index + 1));
        const { times: collected, lastDurationS, packetCount } = collector.finish();
        expect([...collected]).toEqual(times.toSorted((one, other) => one - other));
        expect(packetCount).toBe(times.length);
        expect(lastDurationS).toBe(times.length === 0 ? undefined : times.lastIndexOf(Math.max(...times)) + 1);
      }),
    );
  });

  it('Packet times in completely reversed order are sorted.', () => {
    const collector = new TimesCollector();
    for (let index = 40_000; index > 0; index -= 1) collector.add(index, 1);
    const { times } = collector.finish();
    expect(times).toEqual(Float64Array.from({ length: 40_000 }, (_, index) => index + 1));
    expect(collector.spanS).toBe(39_999);
  });

  it('Hidden packets are counted, but their times are omitted.', () => {
    const collector = new TimesCollector();
    collector.add(0, 1, { hidden: true });
    collector.add(1, 1);
    expect(collector.finish()).toMatchObject({ times: Float64Array.of(1), lastDurationS: 1, packetCount: 2 });
    expect(collector.spanS).toBe(0);
  });

  it('A stream starts with a key when its first packet, shown or hidden, is a keyframe and none precedes it in time.', () => {
    const startsWithKey = (
      ...packets: readonly (readonly [timeS: number, flags?: { hidden?: boolean; key?: boolean }])[]
    ) => {
      const collector = new TimesCollector();
      for (const [timeS, flags] of packets) collector.add(timeS, 1, flags);
      return collector.finish().startsWithKey;
    };
    expect(startsWithKey([1, { key: true, hidden: true }], [3], [2])).toBe(true);
    expect(startsWithKey([2], [3, { key: true }])).toBe(false);
    expect(startsWithKey([2, { key: true }], [1], [3])).toBe(false);
  });
});
