import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { melChunkLength } from '../mel-chunks.ts';
import { createMessageReader, encodeHeader, isPossibleCount, payloadBytesOf, type Message } from './engine-protocol.ts';

const size = 4;
const soundBytes = melChunkLength * 4;

function batch(count: number, fill: number): Uint8Array {
  const payloadBytes = payloadBytesOf('batch', count, size);
  return Buffer.concat([
    encodeHeader({ type: 'batch', count, note: 0, payloadBytes }),
    Buffer.alloc(payloadBytes, fill),
  ]);
}

describe('Engine protocol', () => {
  it('Messages are assembled from pieces of any size.', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1 }),
        (counts, cuts) => {
          const alive = encodeHeader({ type: 'alive', count: 0, note: 0, payloadBytes: 0 });
          const bytes = Buffer.concat(counts.flatMap((count, index) => [batch(count, index + 1), alive]));
          const heard: Message[] = [];
          const read = createMessageReader(size, (message) => heard.push(message));
          for (let from = 0, turn = 0; from < bytes.length; turn += 1) {
            const length = cuts[turn % cuts.length] ?? 1;
            read(bytes.subarray(from, from + length));
            from += length;
          }
          expect(heard.filter(({ header }) => header.type === 'alive')).toHaveLength(counts.length);
          const batches = heard.filter(({ header }) => header.type === 'batch');
          expect(batches.map(({ header }) => header.count)).toEqual(counts);
          for (const [index, { payload }] of batches.entries())
            expect(payload.every((value) => value === index + 1)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('Random bytes are rejected before memory is allocated.', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (header) => {
        const read = createMessageReader(size, () => undefined);
        expect(() => read(header)).toThrow(expect.objectContaining({ code: 'media_failed' }));
      }),
    );
  });

  it.each([
    { type: 'batch', count: 2, payloadBytes: soundBytes + 48 },
    { type: 'batch', count: 0, payloadBytes: 0 },
    { type: 'faces', count: 60_000, payloadBytes: 60_000 * 48 },
    { type: 'failed', count: 0, payloadBytes: 1024 ** 2 },
    { type: 'alive', count: 0, payloadBytes: 1 },
  ] as const)('A message whose length does not match its type is rejected: %o.', (header) => {
    const read = createMessageReader(size, () => undefined);
    expect(() => read(encodeHeader({ ...header, note: 0 }))).toThrow(expect.objectContaining({ code: 'media_failed' }));
  });

  it('A batch that starts below the last row is rejected.', () => {
    const read = createMessageReader(size, () => undefined);
    const header = { type: 'batch', count: 1, note: size, payloadBytes: payloadBytesOf('batch', 1, size) } as const;
    expect(() => read(encodeHeader(header))).toThrow(expect.objectContaining({ code: 'media_failed' }));
  });

  it('A message contains at most 1024 faces and at most 256 MiB.', () => {
    expect([0, 1, 1024, 1025, 1.5, Number.NaN].map((count) => isPossibleCount(count, size))).toEqual([
      false,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect([86, 87].map((count) => isPossibleCount(count, 720))).toEqual([true, false]);
  });
});
