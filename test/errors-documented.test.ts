import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCodes, errorPolicies } from '@lipsync/core/host';
import { expect, it } from 'vitest';
import { analyzers } from '../packages/lipsync-core/src/quality/assessment/analyzers.ts';

const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'errors.md'), 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (\w+) \| (\w+) \| (yes|no) \| (.+) \|$/gm)];

it('docs/errors.md lists exactly the error codes, in the order of the code.', () => {
  expect(rows.map(([, code]) => code)).toEqual(errorCodes);
});

it.each(errorCodes)('docs/errors.md states the policy of %s.', (code) => {
  const [, , httpStatus, decision, breaker, retry] = rows.find(([, name]) => name === code) ?? [];
  const policy = errorPolicies[code];
  expect({ httpStatus: Number(httpStatus), decision, breaker, retryable: retry === 'yes' }).toEqual({
    httpStatus: policy.httpStatus,
    decision: policy.decision,
    breaker: policy.breaker,
    retryable: policy.retryable,
  });
});

/**
 * Warning codes in the sources: codes beside a message or its beginning, and fatal labels, which are warnings too.
 * `custom` belongs to Zod.
 */
function warningCodes(): string[] {
  const root = join(import.meta.dirname, '..', 'packages');
  const files = globSync('*/src/**/*.ts', { cwd: root, exclude: (path) => path.endsWith('.test.ts') });
  const codes = files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\{\s*code: '(\w+)',\s*(?:message|fault):/g)].map(
      ([, code = '']) => code,
    ),
  );
  const others: ReadonlySet<string> = new Set([...errorCodes, 'custom']);
  const fatalLabels = analyzers.flatMap(({ labels }) => labels.filter(({ fatal }) => fatal).map(({ code }) => code));
  return [...codes.filter((code) => !others.has(code)), ...fatalLabels];
}

it('docs/errors.md lists exactly the warnings in the sources.', () => {
  const listed = [...page.matchAll(/^\| `(\w+)` \| [^|]+ \|$/gm)].map(([, code]) => code);
  expect(listed).toHaveLength(new Set(listed).size);
  expect(new Set(listed)).toEqual(new Set(warningCodes()));
});
