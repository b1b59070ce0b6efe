import { z } from 'zod';
import { providerIdSchema } from './lipsync-request.ts';
import { qualityViewSchema, rangesViewSchema } from './quality.ts';
import { jobStatuses } from './vocabulary.ts';

/** The shapes that leave the service, in snake_case. What was not measured is null. */

const timestamp = z.iso.datetime();

export const attemptViewSchema = z.strictObject({
  provider: providerIdSchema,
  outcome: z.enum(['running', 'succeeded', 'failed', 'canceled']),
  code: z.string().nullable(),
  message: z.string().nullable(),
  started_at: timestamp,
  ended_at: timestamp.nullable(),
  cost_usd: z.number().nullable(),
  operation_id: z.string().nullable(),
  /** Null while its take is not assessed. */
  quality: qualityViewSchema.nullable(),
});

export const warningViewSchema = z.strictObject({
  code: z.string(),
  message: z.string(),
  ranges: rangesViewSchema.optional(),
});

export const errorViewSchema = z.strictObject({ code: z.string(), message: z.string(), retryable: z.boolean() });

/** The first and the last fields of every kind of job. */
const stateFields = {
  id: z.string(),
  status: z.enum(jobStatuses),
  stage: z.string(),
  progress: z.int().min(0).max(100),
  message: z.string(),
};
const outcomeFields = {
  warnings: z.array(warningViewSchema),
  error: errorViewSchema.nullable(),
  user_id: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  created_at: timestamp,
  started_at: timestamp.nullable(),
  completed_at: timestamp.nullable(),
};

export const jobViewSchema = z.strictObject({
  ...stateFields,
  method: providerIdSchema,
  /** The providers that are tried, in order; null until that is known. */
  plan: z.array(providerIdSchema).nullable(),
  method_used: providerIdSchema.nullable(),
  degraded: z.boolean(),
  cached: z.boolean(),
  duration: z.number().nullable(),
  cost_usd: z.number().nullable(),
  output_url: z.string().nullable(),
  quality: qualityViewSchema.nullable(),
  attempts: z.array(attemptViewSchema),
  ...outcomeFields,
});

/** A quality job. It costs nothing and has no output. */
export const qualityJobViewSchema = z.strictObject({
  ...stateFields,
  /** Seconds of video; null until it is measured. */
  duration: z.number().nullable(),
  quality: qualityViewSchema.nullable(),
  ...outcomeFields,
});

export const batchViewSchema = z.strictObject({
  id: z.string(),
  status: z.enum(['queued', 'processing', 'completed', 'canceled']),
  /** The jobs of the items that are queued, in the order of the items. */
  results: z.array(jobViewSchema.extend({ item: z.int().min(0), output_name: z.string() })),
  summary: z.strictObject({
    total: z.int(),
    success: z.int(),
    failed: z.int(),
    canceled: z.int(),
    total_duration: z.number(),
    total_cost_usd: z.number(),
  }),
  metadata: z.record(z.string(), z.unknown()),
  created_at: timestamp,
  completed_at: timestamp.nullable(),
});

export type BatchView = z.infer<typeof batchViewSchema>;
export type QualityJobView = z.infer<typeof qualityJobViewSchema>;
export type JobView = z.infer<typeof jobViewSchema>;
export type AttemptView = z.infer<typeof attemptViewSchema>;
