import { expect, it } from 'vitest';
import { findInText, readVocabulary } from '../scripts/check/vocabulary.ts';

const { banned, allowed } = readVocabulary();

it('The vocabulary check finds banned expressions in prose and in camelCase names, with line numbers.', () => {
  const text = 'The worker claims a job.\n// Nobody waits.\nconst openBills = 1;\n';
  expect(findInText(text, banned)).toEqual([
    expect.stringMatching(/^2: "Nobody"/),
    expect.stringMatching(/^3: "open Bills"/),
  ]);
});

it('The vocabulary check accepts plain technical English.', () => {
  const text = 'The worker releases its concurrency slot and settles the attempt.\nconst pendingSettlements = 1;\n';
  expect(findInText(text, banned)).toEqual([]);
});

it('Every exception of the vocabulary check names a banned pattern and a reason.', () => {
  const patterns = banned.map(({ pattern }) => pattern);
  for (const { pattern, reason } of allowed) {
    expect(patterns).toContain(pattern);
    expect(reason.length).toBeGreaterThan(10);
  }
});
