import { z } from 'zod';

/** The quality of a video: what was measured, how, and how sure it is. Stored with the job as plain JSON. */

/** One measured property of a video. */
export interface QualityPart {
  /** Null when it was not measured, with the reason. */
  readonly value: number | null;
  /** Unit of `value`, such as `frames`, `ms`, `dB` or `ratio`. */
  readonly unit: string;
  /** 0 (bad) to 1 (good); null for parts that do not count in a score. */
  readonly score: number | null;
  /** Why `value` is null; null otherwise. */
  readonly reason: string | null;
}

/** A range of the video in milliseconds, end exclusive. */
export interface QualityRange {
  readonly startMs: number;
  readonly endMs: number;
}

/** A named defect. One that is also a warning has the same code and ranges. */
export interface QualityLabel {
  readonly code: string;
  readonly message: string;
  readonly ranges: readonly QualityRange[];
  readonly value: number;
  readonly threshold: number;
  /** Whether a take with this defect is rejected. */
  readonly fatal: boolean;
}

const qualityGrades = Object.freeze(['very_good', 'good', 'poor', 'unknown'] as const);
export type QualityGrade = (typeof qualityGrades)[number];

const syncMethods = Object.freeze(['syncnet', 'lip_audio_correlation'] as const);
export type SyncMethod = (typeof syncMethods)[number];

/** Agreement of lips and sound. */
export interface SyncQuality {
  readonly method: SyncMethod;
  /** Positive when the sound is ahead of the picture. */
  readonly offsetMs: number | null;
  /** Lowest and highest offset that the windows of the video support. */
  readonly offsetIntervalMs: readonly [number, number] | null;
  /** Correlation of lip opening and speech energy at the offset, −1 to 1. */
  readonly strength: number | null;
  /** Confidence of SyncNet (LSE-C); null without its weights. */
  readonly lseC: number | null;
  /** Distance of SyncNet (LSE-D); null without its weights. */
  readonly lseD: number | null;
  /** Number of windows that were measured. */
  readonly windows: number;
  /** Why the offset is null; null otherwise. */
  readonly reason: string | null;
}

export interface Quality {
  /** 0 to 1; null without SyncNet weights, and where sync cannot be judged. */
  readonly syncScore: number | null;
  readonly audioQuality: number | null;
  readonly videoQuality: number | null;
  readonly grade: QualityGrade;
  readonly sync: SyncQuality | null;
  readonly parts: Readonly<Record<string, QualityPart>>;
  /** Those parts that are also measured on the source clip, by name; null without a source. */
  readonly source: Readonly<Record<string, number | null>> | null;
  readonly labels: readonly QualityLabel[];
  readonly methodVersion: string;
  /** SHA-256 of each model that took part, by name. */
  readonly models: Readonly<Record<string, string>>;
}

const partSchema = z
  .strictObject({
    value: z.number().nullable().describe('Measured value; null when it was not measured.'),
    unit: z.string().describe('Unit of `value`, such as `frames`, `ms`, `dB` or `ratio`.'),
    score: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('From 0 (bad) to 1 (good); null for parts that do not count in a score.'),
    reason: z.string().nullable().describe('Why `value` is null; null otherwise.'),
  })
  .meta({ id: 'QualityPart', description: 'A measured property of a video.' });

export const rangesViewSchema = z.array(
  z
    .strictObject({
      start_ms: z.int().describe('Start in milliseconds.'),
      end_ms: z.int().describe('End in milliseconds, exclusive.'),
    })
    .meta({ id: 'TimeRange', description: 'A range of a video.' }),
);

const labelSchema = z
  .strictObject({
    code: z.string().describe('Name of the defect; base decisions on it.'),
    message: z.string().describe('The defect, for people.'),
    ranges: rangesViewSchema.describe('Times at which it was found.'),
    value: z.number().describe('The measured value.'),
    threshold: z.number().describe('The value from which it is a defect.'),
    fatal: z.boolean().describe('Whether a take with this defect is rejected.'),
  })
  .meta({ id: 'QualityLabel', description: 'A named defect of a video.' });

const syncSchema = z
  .strictObject({
    method: z.enum(syncMethods).describe('How the offset was measured.'),
    offset_ms: z.number().nullable().describe('Positive when the sound is ahead of the picture.'),
    offset_interval_ms: z
      .tuple([z.number(), z.number()])
      .nullable()
      .describe('Lowest and highest offset that the windows of the video support.'),
    strength: z
      .number()
      .nullable()
      .describe('Correlation of lip opening and speech energy at the offset, from -1 to 1.'),
    lse_c: z.number().nullable().describe('Confidence of SyncNet (LSE-C); null without its weights.'),
    lse_d: z.number().nullable().describe('Distance of SyncNet (LSE-D); null without its weights.'),
    windows: z.int().describe('Number of windows that were measured.'),
    reason: z.string().nullable().describe('Why the offset is null; null otherwise.'),
  })
  .meta({ id: 'SyncQuality', description: 'Agreement of lips and sound.' });

/** Quality as it leaves the service. What was not measured is null. */
export const qualityViewSchema = z
  .strictObject({
    sync_score: z.number().min(0).max(1).nullable().describe('Agreement of lips and sound, from 0 to 1.'),
    audio_quality: z.number().min(0).max(1).nullable().describe('Quality of the sound, from 0 to 1.'),
    video_quality: z.number().min(0).max(1).nullable().describe('Quality of the picture, from 0 to 1.'),
    grade: z
      .enum(qualityGrades)
      .describe('By `sync_score` alone: very_good from 0.85, good from 0.70, else poor; unknown without it.'),
    sync: syncSchema.nullable().describe('Offset of lips and sound; null when it was not measured.'),
    parts: z.record(z.string(), partSchema).describe('Measured properties by name.'),
    source: z
      .record(z.string(), z.number().nullable())
      .nullable()
      .describe('Those parts that are also measured on the source clip, by name; null without a source.'),
    labels: z.array(labelSchema).describe('Defects that were found.'),
    method_version: z.string().describe('Version of the measurement; figures of two versions are not comparable.'),
    models: z.record(z.string(), z.string()).describe('SHA-256 of each model that took part, by name.'),
  })
  .meta({ id: 'Quality', description: 'Measured quality of a video. What was not measured is null.' });

export type QualityView = z.infer<typeof qualityViewSchema>;

/** Returns a quality as callers see it. Pure. */
export function toQualityView(quality: Quality): QualityView {
  const { sync, source } = quality;
  return {
    sync_score: quality.syncScore,
    audio_quality: quality.audioQuality,
    video_quality: quality.videoQuality,
    grade: quality.grade,
    sync: sync && {
      method: sync.method,
      offset_ms: sync.offsetMs,
      offset_interval_ms: sync.offsetIntervalMs && [...sync.offsetIntervalMs],
      strength: sync.strength,
      lse_c: sync.lseC,
      lse_d: sync.lseD,
      windows: sync.windows,
      reason: sync.reason,
    },
    parts: Object.fromEntries(Object.entries(quality.parts).map(([name, part]) => [name, { ...part }])),
    source: source && { ...source },
    labels: quality.labels.map(({ ranges, ...label }) => ({
      ...label,
      ranges: toRangesView(ranges),
    })),
    method_version: quality.methodVersion,
    models: { ...quality.models },
  };
}

/** Returns ranges as callers see them. Pure. */
export function toRangesView(ranges: readonly QualityRange[]): z.infer<typeof rangesViewSchema> {
  return ranges.map(({ startMs, endMs }) => ({ start_ms: startMs, end_ms: endMs }));
}
