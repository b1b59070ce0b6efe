import { describe, expect, it } from 'vitest';
import type { Quality, QualityLabel } from '../contract/quality.ts';
import { qualityOf } from '../testing/test-quality.ts';
import { findBestTake, judgeTake, type RatedTake } from './take-choice.ts';

const fatal: QualityLabel = {
  code: 'mouth_frozen',
  message: 'The mouth does not move.',
  ranges: [],
  value: 0,
  threshold: 1,
  fatal: true,
};
const harmless: QualityLabel = { ...fatal, code: 'mouth_soft', fatal: false };

describe('The verdict on a take', () => {
  it.each<[string, Partial<Quality>, number | null, 'accepted' | 'rejected']>([
    ['a score above the lowest', { syncScore: 0.71 }, 0.7, 'accepted'],
    ['the lowest score itself', { syncScore: 0.7 }, 0.7, 'accepted'],
    ['a score below the lowest', { syncScore: 0.69 }, 0.7, 'rejected'],
    ['a low score without a lowest one', { syncScore: 0.1 }, null, 'accepted'],
    ['no score', { syncScore: null }, 1, 'accepted'],
    ['a fatal label and no score', { syncScore: null, labels: [fatal] }, null, 'rejected'],
    ['a fatal label and a high score', { syncScore: 0.99, labels: [fatal] }, 0.5, 'rejected'],
    ['a label that is not fatal', { labels: [harmless] }, 0.5, 'accepted'],
  ])('A take with %s.', (_, quality, minSyncScore, type) => {
    expect(judgeTake(qualityOf(quality), minSyncScore).type).toBe(type);
  });

  it('The reason names the score, the lowest accepted one and every fatal label.', () => {
    expect(judgeTake(qualityOf({ syncScore: 0.412, labels: [fatal, harmless] }), 0.7)).toEqual({
      type: 'rejected',
      reason: 'Its sync score 0.41 is below 0.70. mouth_frozen: The mouth does not move.',
    });
  });
});

interface Row extends RatedTake {
  readonly name: string;
}

const scored = (name: string, syncScore: number | null, change: Partial<Quality> = {}, degraded = false): Row => ({
  name,
  degraded,
  quality: qualityOf({ syncScore, ...change }),
});
const other = { methodVersion: 'other' };
const otherModel = { models: { syncnet: 'b'.repeat(64) } };

describe('The best of rejected takes', () => {
  it.each<[string, string, readonly Row[]]>([
    ['the higher score', 'b', [scored('a', 0.3), scored('b', 0.6), scored('c', 0.5)]],
    ['the earlier one of equal scores', 'a', [scored('a', 0.5), scored('b', 0.5)]],
    ['one that is not degraded, even with a lower score', 'b', [scored('a', 0.6, {}, true), scored('b', 0.1)]],
    [
      'one that is not degraded, even with a fatal label',
      'b',
      [scored('a', 0.6, {}, true), scored('b', null, { labels: [fatal] })],
    ],
    ['one without a fatal label', 'b', [scored('a', 0.69, { labels: [fatal] }), scored('b', 0.2)]],
    ['the earlier method, whatever the scores', 'a', [scored('a', 0.2), scored('b', 0.6, other)]],
    ['the earlier model, whatever the scores', 'a', [scored('a', 0.2), scored('b', 0.6, otherModel)]],
    ['the best of the earlier method', 'c', [scored('a', 0.2), scored('b', 0.6, other), scored('c', 0.3)]],
    ['the earlier one of a take with and one without a score', 'a', [scored('a', null), scored('b', 0.6)]],
    [
      'the earlier one of fatal labels without scores',
      'a',
      [scored('a', null, { labels: [fatal] }), scored('b', null, { labels: [fatal] })],
    ],
    ['a take that was not assessed like one without a score', 'a', [{ name: 'a', degraded: false }, scored('b', 0.6)]],
  ])('It is %s.', (_, best, takes) => {
    expect(findBestTake(takes)?.name).toBe(best);
  });

  it('Keeping only the best take after each new one leads to the same choice.', () => {
    const variants = [true, false].flatMap((degraded) =>
      [null, 0.2, 0.6].flatMap((score) =>
        [{}, { labels: [fatal] }, other].map((change) => scored('', score, change, degraded)),
      ),
    );
    for (const one of variants)
      for (const two of variants)
        for (const three of variants) {
          const takes = [
            { ...one, name: '1' },
            { ...two, name: '2' },
            { ...three, name: '3' },
          ];
          const kept = takes.reduce<readonly Row[]>((best, take) => [findBestTake([...best, take]) ?? take], []);
          expect(kept[0]?.name).toBe(findBestTake(takes)?.name);
        }
  });

  it('There is none without takes.', () => {
    expect(findBestTake([])).toBeUndefined();
  });
});
