import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClockJumps } from './container-clock.ts';
import { PacketCollector, type Packet, type PacketTimes } from './packet-times.ts';

/** Within the span in which frames may be reordered. */
const frameTimes = fc.array(
  fc.integer({ min: -20, max: 150 }).map((tick) => tick / 90),
  { maxLength: 400 },
);

const shown = (timeS: number, durationS: number): Packet => ({ presentationS: timeS, durationS });

function collect(packets: readonly Packet[], jumps: ClockJumps = 'backward'): PacketTimes {
  const collector = new PacketCollector(jumps);
  for (const packet of packets) collector.add(packet);
  return collector.finish();
}

describe('PacketCollector', () => {
  it('Packet times in any order are sorted, and the duration of the last packet is kept.', () => {
    fc.assert(
      fc.property(frameTimes, (times) => {
        const { times: collected, lastDurationS, packetCount } = collect(times.map((timeS, i) => shown(timeS, i + 1)));
        expect([...collected]).toEqual(times.toSorted((one, other) => one - other));
        expect(packetCount).toBe(times.length);
        expect(lastDurationS).toBe(times.length === 0 ? undefined : times.lastIndexOf(Math.max(...times)) + 1);
      }),
    );
  });

  it('Packet times in completely reversed order are sorted.', () => {
    const collector = new PacketCollector();
    for (let index = 40_000; index > 0; index -= 1) collector.add(shown(index / 40_000, 1));
    const { times } = collector.finish();
    expect(times).toEqual(Float64Array.from({ length: 40_000 }, (_, index) => (index + 1) / 40_000));
    expect(collector.spanS).toBeCloseTo(39_999 / 40_000, 9);
  });

  it('Hidden packets are counted, but their times are omitted.', () => {
    const collector = new PacketCollector();
    collector.add({ ...shown(0, 1), hidden: true });
    collector.add(shown(1, 1));
    expect(collector.finish()).toMatchObject({ times: Float64Array.of(1), lastDurationS: 1, packetCount: 2 });
    expect(collector.spanS).toBe(0);
  });

  it('A stream starts with a key when its first packet, shown or hidden, is a keyframe and none precedes it in time.', () => {
    const startsWithKey = (...packets: readonly Packet[]) => collect(packets).startsWithKey;
    expect(startsWithKey({ ...shown(1, 1), key: true, hidden: true }, shown(3, 1), shown(2, 1))).toBe(true);
    expect(startsWithKey(shown(2, 1), { ...shown(3, 1), key: true })).toBe(false);
    expect(startsWithKey({ ...shown(2, 1), key: true }, shown(1, 1), shown(3, 1))).toBe(false);
  });

  it('Packets before the first keyframe are counted, and none in a stream without keyframes.', () => {
    expect(collect([shown(0, 1), shown(1, 1), { ...shown(2, 1), key: true }]).packetsBeforeKey).toBe(2);
    expect(collect([shown(0, 1), shown(1, 1)]).packetsBeforeKey).toBe(0);
  });

  it('Parts of a stream follow each other without a gap where its clock goes back or jumps ahead.', () => {
    // Every second frame is shown before the one that is stored before it.
    const part = (startS: number): readonly Packet[] =>
      [0, 2, 1, 3].map((slot, index) => ({
        presentationS: startS + slot / 25,
        decodingS: startS + (index - 1) / 25,
        durationS: 0.04,
      }));
    const parts = [...part(5), ...part(1), ...part(60)];
    const { times, joins, startsWithKey } = collect(parts, 'both');
    expect([...times].map((timeS) => Math.round((timeS - 5) * 25))).toEqual([...Array(12).keys()]);
    expect(joins.map(({ afterS }) => afterS)).toEqual([5.12, 1.12]);
    expect(joins[0]?.shiftS).toBeCloseTo(4.16, 9);
    expect(joins[1]?.shiftS).toBeCloseTo(-54.68, 9);
    expect(startsWithKey).toBe(false);
    expect(collect(parts).joins).toHaveLength(1);
    expect(collect(parts, 'none').joins).toEqual([]);
  });

  it('A pause of the clock of up to ten seconds is a hole in the picture, not a jump.', () => {
    expect(collect([shown(0, 0.04), shown(10.03, 0.04)], 'both').joins).toEqual([]);
    expect(collect([shown(0, 0.04), shown(10.05, 0.04)], 'both').joins).toHaveLength(1);
  });

  it('A stream whose clock jumps all the time is rejected.', () => {
    const times = Array.from({ length: 500 }, (_, index) => shown(index % 2 === 0 ? 100 : 1, 0.04));
    expect(() => collect(times)).toThrow(/clock of the clip jumps more than 100 times/);
  });
});
