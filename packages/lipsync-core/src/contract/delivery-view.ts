import { z } from 'zod';
import { jobStatuses } from './vocabulary.ts';

const timestamp = z.iso.datetime();

export const deliveryViewSchema = z
  .strictObject({
    id: z.string().describe('Id of the message, which its receiver gets as `webhook-id`.'),
    event: z.string().describe('Type of the event, such as `lipsync.completed`.'),
    job_id: z.string().describe('Id of the job or batch that the event is about.'),
    url: z.string().describe('Address of the receiver, without its query.'),
    status: z
      .enum(jobStatuses)
      .describe('`queued` and `processing` until the message is delivered (`completed`) or given up (`failed`).'),
    tries: z
      .array(
        z.strictObject({
          at: timestamp.describe('Time of the try.'),
          http_status: z.int().nullable().describe('HTTP status of the answer; null without an answer.'),
          reason: z.string().nullable().describe('Why the try failed; null if it did not.'),
        }),
      )
      .describe('The latest 20 tries, oldest first.'),
    next_try_at: timestamp.nullable().describe('Time of the next try; null if there is none.'),
    created_at: timestamp.describe('Time of the event.'),
    completed_at: timestamp.nullable().describe('Time of the end, whatever the outcome.'),
  })
  .meta({ id: 'Delivery', description: 'The delivery of one message to a `webhook_url`.' });

export const deliveryPageViewSchema = z
  .strictObject({
    deliveries: z.array(deliveryViewSchema).describe('The deliveries, newest first.'),
    next_cursor: z.string().nullable().describe('`cursor` of the next page; null on the last one.'),
  })
  .meta({ id: 'DeliveryPage', description: 'A page of deliveries.' });

export type DeliveryView = z.infer<typeof deliveryViewSchema>;
