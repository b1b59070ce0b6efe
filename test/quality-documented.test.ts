import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { analyzers } from '../packages/lipsync-core/src/quality/assessment/analyzers.ts';

const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'quality.md'), 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$/gm)].map((row) => row.slice(1));
const isLabel = (row: readonly string[]): boolean => row[2] === 'yes' || row[2] === 'no';
const byName = (first: readonly string[], second: readonly string[]): number =>
  (first[0] ?? '').localeCompare(second[0] ?? '');

it('docs/quality.md lists exactly the parts that analyzers measure.', () => {
  const parts = analyzers
    .flatMap(({ parts }) => parts)
    .map(({ name, unit, countsIn, meaning }) => [name, unit, countsIn === 'none' ? '—' : `\`${countsIn}\``, meaning]);
  expect(rows.filter((row) => !isLabel(row)).toSorted(byName)).toEqual(parts.toSorted(byName));
});

it('docs/quality.md lists exactly the labels that analyzers give.', () => {
  const labels = analyzers
    .flatMap(({ labels }) => labels)
    .map(({ code, threshold, unit, fatal, meaning }) => [code, `${threshold} ${unit}`, fatal ? 'yes' : 'no', meaning]);
  expect(rows.filter(isLabel).toSorted(byName)).toEqual(labels.toSorted(byName));
});

it('Names of parts and labels are unique.', () => {
  const names = analyzers.flatMap(({ parts, labels }) => [
    ...parts.map(({ name }) => name),
    ...labels.map(({ code }) => code),
  ]);
  expect(new Set(names).size).toBe(names.length);
});
