import { expect, it } from 'vitest';
import { lipLabels } from '../lips/lip-tables.ts';
import { syncNetAnalyzer } from '../syncnet/syncnet-analyzer.ts';
import { mergeFindings } from './merge-findings.ts';

const frozen = { code: lipLabels.mouthFrozen.code, message: '', ranges: [], value: 1, threshold: 0.5, fatal: true };

it('A mouth that does not move has no sync score and the grade unknown, whatever SyncNet measured.', () => {
  const scored = { definition: syncNetAnalyzer, findings: { syncScore: 0.9 } };
  expect(mergeFindings([scored], false).quality).toMatchObject({ syncScore: 0.9, grade: 'very_good' });
  const labeled = { definition: syncNetAnalyzer, findings: { labels: [frozen] } };
  expect(mergeFindings([labeled, scored], false).quality).toMatchObject({ syncScore: null, grade: 'unknown' });
});
