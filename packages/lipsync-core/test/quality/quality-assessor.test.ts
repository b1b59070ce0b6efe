import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { RenderPool } from '../../src/processes/render-pool.ts';
import { analyzers } from '../../src/quality/assessment/analyzers.ts';
import { unknownQuality, type MeasuredQuality } from '../../src/quality/assessment/merge-findings.ts';
import type { AssessmentInput } from '../../src/quality/analyzer.ts';
import { QualityAssessor, type Assessment } from '../../src/quality/assessment/quality-assessor.ts';
import { limits } from '../media/make-media.ts';

const measured = unknownQuality(analyzers, 'Not measured.', false);
const input = { videoPath: 'take.mp4', trackCacheFolder: 'tracks', workFolder: 'work' };

const context = { signal: new AbortController().signal, onProgress: () => undefined };

/** An assessor with a render process that answers with `result`. */
function assessorOf(result: (task: unknown, input: AssessmentInput) => Promise<MeasuredQuality>): QualityAssessor {
  const renderPool = { run: result, warm: () => undefined, close: async () => undefined };
  // `as`: the assessor runs one task only.
  return new QualityAssessor({ renderPool: renderPool as RenderPool, limits });
}

function assess(result: () => Promise<MeasuredQuality>): Promise<Assessment> {
  return assessorOf(result).run(input, context);
}

/** An assessor whose assessments run until the test ends them; `started` has them in the order of their start. */
function openSlowAssessor() {
  const started: { readonly videoPath: string; end(): void }[] = [];
  const assessor = assessorOf((_, { videoPath }) => {
    const { promise, resolve } = Promise.withResolvers<MeasuredQuality>();
    started.push({ videoPath, end: () => resolve(measured) });
    return promise;
  });
  return { assessor, started };
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

  it('A take waits for an assessment of any length, and is measured then.', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { assessor, started } = openSlowAssessor();
    const video = assessor.measure({ ...input, videoPath: 'long.mp4' }, context);
    let assessment: Assessment | undefined;
    const take = assessor.run(input, context).then((result) => (assessment = result));
    await vi.advanceTimersByTimeAsync(31 * 60_000);
    expect(assessment).toBeUndefined();
    started[0]?.end();
    await video;
    await vi.advanceTimersByTimeAsync(0);
    started[1]?.end();
    expect(await take).toEqual({ ...measured, warnings: [] });
  });

  it('A take is assessed before videos that wait already, and an aborted wait ends at once.', async () => {
    const { assessor, started } = openSlowAssessor();
    const stop = new AbortController();
    const measure = (videoPath: string, signal = context.signal) =>
      assessor.measure({ ...input, videoPath }, { ...context, signal });
    const videos = [measure('first.mp4'), measure('second.mp4')];
    const stopped = measure('stopped.mp4', stop.signal);
    const take = assessor.run(input, context);
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ code: 'canceled' });
    for (let index = 0; index < 3; index += 1) {
      await vi.waitFor(() => expect(started.length).toBeGreaterThan(index));
      started[index]?.end();
    }
    await Promise.all([...videos, take]);
    expect(started.map(({ videoPath }) => videoPath)).toEqual(['first.mp4', 'take.mp4', 'second.mp4']);
  });
});
