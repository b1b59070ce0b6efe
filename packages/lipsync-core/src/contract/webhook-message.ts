import { z } from 'zod';
import { batchViewSchema, jobViewSchema, qualityJobViewSchema, timestamp } from './job-view.ts';
import { qualityViewSchema } from './quality.ts';

/** What receivers of webhooks get. A message is smaller than 20 kB, so it leaves out what may be large. */

const omitted = { request: true, stage: true, progress: true, message: true, expected_completion_at: true } as const;

const summaryFields = {
  quality: qualityViewSchema
    .pick({ sync_score: true, audio_quality: true, video_quality: true, grade: true })
    .extend({ labels: z.array(z.string()).describe('Codes of the defects.') })
    .nullable()
    .describe('Grade and scores; null when the quality was not measured.'),
  warnings: z.array(z.string()).describe('Codes of the warnings.'),
};

const lipsyncDataSchema = jobViewSchema
  .omit({ ...omitted, attempts: true })
  .extend(summaryFields)
  .meta({ id: 'LipsyncMessageData', description: 'A lip-sync job that has ended.' });

const progressDataSchema = jobViewSchema
  .omit({ request: true, attempts: true })
  .extend(summaryFields)
  .meta({ id: 'ProgressMessageData', description: 'A lip-sync job that runs.' });

const qualityDataSchema = qualityJobViewSchema
  .omit(omitted)
  .extend(summaryFields)
  .meta({ id: 'QualityMessageData', description: 'A quality job that has ended.' });

const batchDataSchema = batchViewSchema
  .omit({ results: true })
  .meta({ id: 'BatchMessageData', description: 'A batch that has ended, without its jobs.' });

function messageSchema<Type extends string, Data extends z.ZodType>(type: Type, data: Data) {
  return z.strictObject({
    type: z.literal(type).describe('Type of the event.'),
    timestamp: timestamp.describe('When the event happened, not when it is sent.'),
    data: data.describe('What the event is about.'),
  });
}

/** The body of each type of message. */
export const webhookMessageSchemas = {
  'lipsync.completed': messageSchema('lipsync.completed', lipsyncDataSchema),
  'lipsync.failed': messageSchema('lipsync.failed', lipsyncDataSchema),
  'lipsync.canceled': messageSchema('lipsync.canceled', lipsyncDataSchema),
  'lipsync.progress': messageSchema('lipsync.progress', progressDataSchema),
  'quality.completed': messageSchema('quality.completed', qualityDataSchema),
  'quality.failed': messageSchema('quality.failed', qualityDataSchema),
  'quality.canceled': messageSchema('quality.canceled', qualityDataSchema),
  'batch.completed': messageSchema('batch.completed', batchDataSchema),
  'batch.canceled': messageSchema('batch.canceled', batchDataSchema),
} as const;

export type WebhookMessageType = keyof typeof webhookMessageSchemas;
export type WebhookMessageData<Type extends WebhookMessageType = WebhookMessageType> = z.infer<
  (typeof webhookMessageSchemas)[Type]
>['data'];
