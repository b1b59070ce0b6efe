import { z } from 'zod';
import { renameKeys, toSnakeCase, type SnakeCaseKeys } from './case.ts';
import { consentViewSchema, lipsyncFields, providerIdSchema } from './lipsync-request.ts';
import { qualityOptionsSchema } from './quality-request.ts';
import { qualityViewSchema, rangesViewSchema } from './quality.ts';
import { batchStatuses, jobStages, jobStatuses } from './vocabulary.ts';

/** The shapes that leave the service, in snake_case. What was not measured is null. */

export const timestamp = z.iso.datetime();

export const attemptViewSchema = z
  .strictObject({
    provider: providerIdSchema.describe('Id of the provider.'),
    outcome: z.enum(['running', 'succeeded', 'failed', 'canceled']).describe('How the attempt ended.'),
    code: z.string().nullable().describe('Error code of a failed attempt.'),
    message: z.string().nullable().describe('The failure, for people.'),
    started_at: timestamp.describe('Start of the attempt.'),
    ended_at: timestamp.nullable().describe('End of the attempt; null while it runs.'),
    cost_usd: z.number().nullable().describe('Cost in USD; null while it is unknown.'),
    operation_id: z.string().nullable().describe('Id of the operation at the provider.'),
    model_precision: z
      .string()
      .nullable()
      .describe('Precision of the model that drew its take: `float32`, `float16` or `int8`; null if unknown.'),
    quality: qualityViewSchema.nullable().describe('Quality of its take; null while the take is not assessed.'),
  })
  .meta({ id: 'Attempt', description: 'One try of one provider within a job.' });

export const warningViewSchema = z
  .strictObject({
    code: z.string().describe('Code of the warning; base decisions on it.'),
    message: z.string().describe('The warning, for people.'),
    ranges: rangesViewSchema
      .optional()
      .describe('Affected times of the output; absent where the whole output is affected.'),
  })
  .meta({ id: 'Warning', description: 'What differs from what the caller may expect of a completed job.' });

export const errorViewSchema = z
  .strictObject({
    code: z.string().describe('Error code; base decisions on it.'),
    message: z.string().describe('The reason, for people.'),
    retryable: z.boolean().describe('Whether the same request may succeed later.'),
  })
  .meta({ id: 'JobError', description: 'Why a job failed.' });

const inputName = z.string().describe('Name of the file, or the URL without its query.');

const lipsyncRequestViewSchema = z
  .strictObject({
    video: inputName,
    audio: inputName,
    ...snakeCaseFields(lipsyncFields),
    consent: consentViewSchema.optional(),
    method: z.string().describe('The `method` of the request.'),
  })
  .meta({ id: 'RequestedLipsyncJob', description: 'Inputs by name, and the options with their defaults.' });

const qualityRequestViewSchema = z
  .strictObject({
    video: inputName,
    audio: inputName.optional(),
    source: inputName.optional(),
    ...snakeCaseFields(qualityOptionsSchema.shape),
  })
  .meta({ id: 'RequestedQualityJob', description: 'Inputs by name, and the options with their defaults.' });

function snakeCaseFields<Fields extends { readonly metadata: z.ZodType }>(
  fields: Fields,
): SnakeCaseKeys<Omit<Fields, 'metadata'>> {
  const { metadata: _, ...shown } = fields;
  // `as`: the compiler does not follow the renaming of keys.
  return renameKeys(shown, toSnakeCase) as SnakeCaseKeys<Omit<Fields, 'metadata'>>;
}

/** The first and the last fields of every kind of job. */
const stateFields = {
  id: z.string().describe('Id of the job.'),
  status: z
    .enum(jobStatuses)
    .describe('State of the job; `processing` from the first claim by a worker, waiting for a provider included.'),
  stage: z.string().describe(`Step of the work: ${jobStages.map((stage) => `\`${stage}\``).join(', ')}.`),
  progress: z.int().min(0).max(100).describe('Whole percent; 100 only when the job is completed.'),
  message: z.string().describe('Stage and progress, for people.'),
};
const outcomeFields = {
  warnings: z.array(warningViewSchema).describe('Warnings about the result.'),
  error: errorViewSchema.nullable().describe('Why the job failed; null otherwise.'),
  user_id: z.string().nullable().describe('The `user_id` of the request; null without one.'),
  metadata: z.record(z.string(), z.unknown()).describe('The `metadata` of the request.'),
  created_at: timestamp.describe('Time of acceptance.'),
  started_at: timestamp.nullable().describe('Time of the first claim by a worker.'),
  expected_completion_at: timestamp
    .nullable()
    .describe(
      'Expected time of the end; in the past for a job that takes longer. Null while unknown and after the end.',
    ),
  completed_at: timestamp.nullable().describe('Time of the end, whatever the outcome.'),
  inputs_deleted_at: timestamp
    .nullable()
    .describe('When the inputs were deleted because of their age; null otherwise.'),
};

export const jobViewSchema = z
  .strictObject({
    ...stateFields,
    request: lipsyncRequestViewSchema,
    method: z.string().describe('The `method` of the request.'),
    plan: z
      .array(providerIdSchema)
      .nullable()
      .describe('The providers that are tried, in order; null until that is known.'),
    method_used: providerIdSchema.nullable().describe('Provider of the output; null before, and for silent speech.'),
    degraded: z.boolean().describe('Whether the output comes from a provider for checking only, such as `preview`.'),
    cached: z.boolean().describe('Whether an earlier output was reused.'),
    batch: z
      .strictObject({
        id: z.string().describe('Id of the batch.'),
        item: z.int().min(0).describe('Index of the item, from 0.'),
      })
      .nullable()
      .describe('The batch of the job; null for a single job.'),
    duration: z.number().nullable().describe('Seconds of output; null before.'),
    cost_usd: z.number().nullable().describe('Cost of all attempts in USD; null while unknown.'),
    output_url: z
      .string()
      .nullable()
      .describe('Address of the video; null until the job is completed, and after its deletion.'),
    output_deleted_at: timestamp.nullable().describe('When the video was deleted because of its age; null otherwise.'),
    quality: qualityViewSchema.nullable().describe('Quality of the output; null when it was not measured.'),
    attempts: z.array(attemptViewSchema).describe('One entry per try of a provider, in order.'),
    ...outcomeFields,
  })
  .meta({ id: 'LipsyncJob', description: 'A lip-sync job. What was not measured is null.' });

/** A quality job. It costs nothing and has no output. */
export const qualityJobViewSchema = z
  .strictObject({
    ...stateFields,
    request: qualityRequestViewSchema,
    duration: z.number().nullable().describe('Seconds of video; null until it is measured.'),
    quality: qualityViewSchema.nullable().describe('The quality; null until the job is completed.'),
    ...outcomeFields,
  })
  .meta({ id: 'QualityJob', description: 'A job that measures a video. It costs nothing and has no output.' });

const batchFields = {
  id: z.string().describe('Id of the batch; the ids of its jobs start with it.'),
  status: z
    .enum(batchStatuses)
    .describe('State of the batch. Failed items do not fail it; it is `canceled` if a cancel stopped an item.'),
  summary: z
    .strictObject({
      total: z.int().describe('Number of items.'),
      success: z.int().describe('Number of completed jobs.'),
      failed: z.int().describe('Number of failed jobs.'),
      canceled: z.int().describe('Number of canceled jobs.'),
      total_duration: z.number().describe('Seconds of finished output.'),
      total_cost_usd: z.number().describe('Cost of all settled attempts in USD.'),
    })
    .describe('Totals, deleted jobs included.'),
  user_id: z.string().nullable().describe('The `user_id` of the batch; null without one.'),
  metadata: z.record(z.string(), z.unknown()).describe('The `metadata` of the batch.'),
  max_cost_usd: z.number().nullable().describe('Limit on the cost of all jobs together, in USD; null for none.'),
  created_at: timestamp.describe('Time of acceptance.'),
  completed_at: timestamp.nullable().describe('Time of the end; null while the batch runs.'),
};

export const batchSummaryViewSchema = z
  .strictObject(batchFields)
  .meta({ id: 'BatchSummary', description: 'A batch without its jobs.' });

export const batchViewSchema = z
  .strictObject({
    ...batchFields,
    results: z
      .array(
        jobViewSchema
          .extend({
            item: z.int().min(0).describe('Index of the item in the request, from 0.'),
            output_name: z.string().describe('File name of the output.'),
          })
          .meta({ id: 'BatchJob', description: 'A lip-sync job of a batch.' }),
      )
      .describe('The jobs of the items, in the order of the items, without deleted ones.'),
    next_cursor: z.string().nullable().describe('`cursor` of the page with the next items; null after the last one.'),
  })
  .meta({ id: 'Batch', description: 'Lip-sync jobs that were created with one request.' });

export type BatchStatus = (typeof batchStatuses)[number];
export type BatchSummaryView = z.infer<typeof batchSummaryViewSchema>;
export type BatchView = z.infer<typeof batchViewSchema>;
export type QualityJobView = z.infer<typeof qualityJobViewSchema>;
export type JobView = z.infer<typeof jobViewSchema>;
export type AttemptView = z.infer<typeof attemptViewSchema>;
