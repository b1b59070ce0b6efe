import {
  lipsyncOptionsSchema,
  qualityOptionsSchema,
  type LipsyncOptionsInput,
  type QualityOptionsInput,
} from '../contract/index.ts';
import type { Attempt } from '../providers/attempt.ts';
import { newJobRecord, newQualityRecord, requireKind, type JobRecord } from '../jobs/job-record.ts';

/** Returns the record of a queued job. */
export function testJobRecord(
  id: string,
  createdAtMs = 1_000,
  options: LipsyncOptionsInput = {},
): JobRecord<'lipsync'> {
  return newJobRecord({
    id,
    options: lipsyncOptionsSchema.parse(options),
    video: { kind: 'artifact', key: `inputs/${'b'.repeat(64)}`, name: 'clip.mp4' },
    audio: { kind: 'artifact', key: `inputs/${'a'.repeat(64)}`, name: 'speech "one".wav' },
    owner: null,
    nowMs: createdAtMs,
  });
}

/** Returns the record of a queued quality job. */
export function testQualityRecord(
  id: string,
  createdAtMs = 1_000,
  options: QualityOptionsInput = {},
): JobRecord<'quality'> {
  return newQualityRecord({
    id,
    options: qualityOptionsSchema.parse(options),
    video: { kind: 'url', url: 'https://example.org/video.mp4?key=secret' },
    owner: null,
    nowMs: createdAtMs,
  });
}

/** Returns an attempt at HeyGen that has begun and requested nothing, except for what `change` states. */
export function testAttempt(change: Partial<Attempt> = {}): Attempt {
  return {
    provider: 'heygen',
    outcome: 'running',
    code: null,
    message: null,
    startedAtMs: 1,
    endedAtMs: null,
    costMicros: null,
    operation: null,
    operationAtMs: null,
    transientFailures: 0,
    ...change,
  };
}

/** Returns the record of a lip-sync job that must exist. */
export function lipsyncJob(record: JobRecord | undefined): JobRecord<'lipsync'> {
  if (!record) throw new Error('The job does not exist.');
  return requireKind(record, 'lipsync');
}
