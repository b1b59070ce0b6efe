import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { RenderPool } from '../../src/processes/render-pool.ts';
import { analyzers } from '../../src/quality/assessment/analyzers.ts';
import { unknownQuality, type MeasuredQuality } from '../../src/quality/assessment/merge-findings.ts';
import { QualityAssessor, type Assessment } from '../../src/quality/assessment/quality-assessor.ts';
import { limits } from '../media/make-media.ts';

const input = { videoPath: 'take.mp4', trackCacheFolder: 'tracks', workFolder: 'work' };

/** Runs an assessment with a render process that answers with `result`. */
function assess(result: () => Promise<MeasuredQuality>): Promise<Assessment> {
  const renderPool = { run: result, warm: () => undefined, close: async () => undefined };
  // `as`: the assessor runs one task only.
  const assessor = new QualityAssessor({ renderPool: renderPool as RenderPool, limits });
  return assessor.run(input, { signal: new AbortController().signal, onProgress: () => undefined });
}

describe('The quality assessor', () => {
  it('An assessment that fails has only null parts with the reason, a warning, and the grade unknown.', async () => {
    const failure = new LipsyncError('media_failed', 'The render process was lost.');
    const { quality, warnings } = await assess(() => Promise.reject(failure));
    expect(warnings).toEqual([
      { code: 'quality_not_measured', message: 'The quality was not measured. The render process was lost.' },
    ]);
    expect(quality).toMatchObject({ syncScore: null, audioQuality: null, videoQuality: null, grade: 'unknown' });
    expect(Object.keys(quality.parts)).toEqual(analyzers.flatMap(({ parts }) => parts.map(({ name }) => name)));
    for (const { value, reason } of Object.values(quality.parts)) {
      expect(value).toBeNull();
      expect(reason).toBe('The render process was lost.');
    }
  });

  it('A take is kept with a warning when the modules of the analyzers cannot be loaded either.', async () => {
    vi.doMock('../../src/quality/assessment/analyzers.ts', () => {
      throw Object.assign(new Error('open'), { code: 'EMFILE' });
    });
    onTestFinished(() => vi.doUnmock('../../src/quality/assessment/analyzers.ts'));
    const failure = Object.assign(new Error('spawn'), { code: 'EMFILE' });
    const { quality, warnings } = await assess(() => Promise.reject(failure));
    expect(warnings.map(({ code }) => code)).toEqual(['quality_not_measured']);
    expect([quality.syncScore, quality.grade, quality.parts]).toEqual([null, 'unknown', {}]);
  });

  it('The label lips_unchanged is also a warning that lists its time ranges; other labels are not.', async () => {
    const measured = unknownQuality(analyzers, 'Not measured.', false);
    const common = { value: 1, threshold: 0.5, fatal: true };
    const ranges = [
      { startMs: 0, endMs: 2_480 },
      { startMs: 5_000, endMs: 7_040 },
    ];
    const labels = [
      { code: 'lips_unchanged', message: 'The lips are those of the clip.', ranges, ...common },
      { code: 'mouth_frozen', message: 'The mouth does not move.', ranges, ...common },
    ];
    const { warnings } = await assess(async () => ({ ...measured, quality: { ...measured.quality, labels } }));
    expect(warnings).toEqual([
      {
        code: 'lips_unchanged',
        message: 'The lips are those of the clip. At 0.00–2.48 s, 5.00–7.04 s of the output.',
      },
    ]);
  });
});
