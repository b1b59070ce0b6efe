import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { applyJobEvent } from '../../src/jobs/job-events.ts';
import { isTerminal, type JobRecord } from '../../src/jobs/job-record.ts';
import { toJobView } from '../../src/jobs/job-view.ts';
import { decodeJobRecord, encodeJobRecord } from '../../src/jobs/record-codec.ts';
import { currentRecordFormat, toKeyedOptions } from '../../src/jobs/record-migrations.ts';
import { testPlan } from '../../src/testing/test-plan.ts';
import { lipsyncJob, testJobRecord } from '../../src/testing/test-records.ts';

const pastFormats = Array.from({ length: currentRecordFormat - 1 }, (_, index) => index + 1);

/** Reads records as the versions of that format stored them, one per state that a job can be in. */
async function readFixture(format: number): Promise<readonly JobRecord[]> {
  const path = new URL(`record-fixtures/format-${format}.json`, import.meta.url);
  const stored: readonly object[] = JSON.parse(await readFile(path, 'utf8'));
  return stored.map((record) => decodeJobRecord({ format: String(format), text: JSON.stringify(record) }));
}

describe('Migration of job records', () => {
  it.each(pastFormats)('Records of format %i have every field of a current record.', async (format) => {
    const fields = Object.keys(testJobRecord('job_1')).toSorted();
    for (const record of await readFixture(format)) {
      expect(Object.keys(record).toSorted()).toEqual(fields);
      expect(record.spec).toMatchObject({
        options: {
          providerOptions: { heygen: { mode: format === 1 ? 'speed' : 'precision' } },
          metadata: { order: 7 },
        },
        video: { kind: 'url', url: 'https://example.com/clip.mp4' },
        audio: { kind: 'artifact', name: 'speech.wav' },
      });
      expect(decodeJobRecord(encodeJobRecord(record))).toEqual(record);
    }
  });

  it.each(pastFormats)('Jobs of format %i are shown and finished.', async (format) => {
    for (const record of await readFixture(format)) {
      expect(toJobView(lipsyncJob(record), '/output')).toMatchObject({ id: record.id, status: record.status });
      const next = applyJobEvent(record, { type: 'run_started', atMs: 1_764_000_100_000 });
      const result = { methodUsed: null, degraded: false, cached: false, durationMs: 1, outputKey: 'key' };
      const ended = applyJobEvent(next, { type: 'completed', run: next.runs, atMs: 2, result, warnings: [] });
      expect(ended.status).toBe(isTerminal(record.status) ? record.status : 'completed');
    }
  });

  it('The key of an unfinished job does not depend on the format of its options.', () => {
    const options = lipsyncOptionsSchema.parse({ providerOptions: { heygen: { mode: 'precision' } } });
    const { providerOptions: _, ...others } = options;
    expect(toKeyedOptions(options)).toEqual({ ...others, heygenMode: 'precision' });
    const filledIn = { ...options.providerOptions, wav2lip: {}, preview: {} };
    expect(toKeyedOptions({ ...options, providerOptions: filledIn })).toEqual(toKeyedOptions(options));
    expect(toKeyedOptions({ ...options, providerOptions: { ...filledIn, other: { size: 1 } } })).toMatchObject({
      providerOptions: { other: { size: 1 } },
    });
  });

  it('A job of format 3 that waits at a vendor keeps its operation, its request and its plan.', async () => {
    const parked = (await readFixture(3)).find(({ id }) => id === 'job_parked');
    expect(parked).toMatchObject({
      status: 'processing',
      parkedUntilMs: 1_764_000_012_000,
      plan: testPlan('heygen', 'wav2lip'),
      attempts: [
        {
          provider: 'heygen',
          outcome: 'running',
          operation: { id: 'op-1' },
          request: { idempotencyKey: 'job_parked-0' },
          transientFailures: 1,
        },
      ],
    });
  });

  it.each([1, 2, 3])('The result of a completed job of format %i no longer holds its cost.', async (format) => {
    const completed = (await readFixture(format)).find(({ status }) => status === 'completed');
    expect(completed?.result).toMatchObject({ durationMs: 1_000 });
    expect(completed?.result).not.toHaveProperty('costMicros');
  });
});
