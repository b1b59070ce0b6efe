import { z } from 'zod';
import { batchSummaryViewSchema, jobViewSchema, qualityJobViewSchema, timestamp } from './job-view.ts';
import { providerIdSchema } from './lipsync-request.ts';
import { jobStatuses } from './vocabulary.ts';

/** Responses of the service other than jobs, in snake_case. */

const nextCursor = z.string().nullable().describe('`cursor` of the next page; null after the last one.');

export const jobPageViewSchema = z
  .strictObject({
    jobs: z.array(jobViewSchema).describe('Jobs, newest first.'),
    next_cursor: nextCursor,
  })
  .meta({ id: 'LipsyncJobPage', description: 'A page of lip-sync jobs.' });

export const qualityJobPageViewSchema = z
  .strictObject({
    jobs: z.array(qualityJobViewSchema).describe('Jobs, newest first.'),
    next_cursor: nextCursor,
  })
  .meta({ id: 'QualityJobPage', description: 'A page of quality jobs.' });

export const batchPageViewSchema = z
  .strictObject({
    batches: z.array(batchSummaryViewSchema).describe('Batches without their jobs, newest first.'),
    next_cursor: nextCursor,
  })
  .meta({ id: 'BatchPage', description: 'A page of batches.' });

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
    next_cursor: nextCursor,
  })
  .meta({ id: 'DeliveryPage', description: 'A page of deliveries.' });

const receiverViewSchema = z
  .strictObject({
    id: z.string().describe('Id of the receiver within this list.'),
    key: z.string().nullable().describe('Name of the API key whose messages it does not get; null without keys.'),
    origin: z
      .string()
      .nullable()
      .describe('Scheme, host and port of its address; null if an earlier version stored it.'),
    url: z.string().nullable().describe('Its address without the query, as long as the delivery exists.'),
    delivery_id: z.string().nullable().describe('The delivery that it answered with 410.'),
    off_since: timestamp.nullable().describe('Time of that answer.'),
  })
  .meta({ id: 'Receiver', description: 'A receiver of webhooks that is switched off.' });

export const receiverPageViewSchema = z
  .strictObject({
    receivers: z.array(receiverViewSchema).describe('The receivers; their number may be smaller than `limit`.'),
    next_cursor: nextCursor,
  })
  .meta({ id: 'ReceiverPage', description: 'A page of receivers that are switched off.' });

export const problemViewSchema = z
  .strictObject({
    type: z.string().describe('URN of the error code.'),
    title: z.string().describe('Name of the HTTP status.'),
    status: z.int().describe('HTTP status.'),
    detail: z.string().describe('What is wrong, for people.'),
    code: z.string().describe('Error code; base decisions on it.'),
    retryable: z.boolean().describe('Whether the same request may succeed later.'),
    request_id: z.string().describe('The `X-Request-Id` of the response.'),
    errors: z
      .array(
        z
          .strictObject({
            field: z.string().describe('Name of the field, as in the request.'),
            message: z.string().describe('What is wrong with it; continues the name in a sentence.'),
          })
          .meta({ id: 'FieldProblem', description: 'A problem with one field of a request.' }),
      )
      .describe('Every problem of a body or query; empty otherwise.'),
  })
  .meta({ id: 'Problem', description: 'The body of every error response (RFC 9457).' });

export const scalingViewSchema = z
  .strictObject({
    render: z.number().min(0).describe('Seconds of work for workers of the lane `render`.'),
    cloud: z.number().min(0).describe('Seconds of work for workers of the lane `cloud`.'),
  })
  .meta({ id: 'Scaling', description: 'Expected processing time of the jobs that no worker has taken.' });

export const healthViewSchema = z
  .strictObject({ status: z.literal('ok').describe('Always `ok`.') })
  .meta({ id: 'Health', description: 'The process is alive.' });

export const readinessViewSchema = z
  .strictObject({
    status: z.enum(['ready', 'not_ready']).describe('Whether every part works.'),
    checks: z
      .record(z.string(), z.enum(['ok', 'failed']))
      .optional()
      .describe('Each part; only for callers with a key.'),
    reasons: z
      .record(z.string(), z.string())
      .optional()
      .describe('Why parts failed, by part; only for callers with a key.'),
  })
  .meta({ id: 'Readiness', description: 'Whether the service can work.' });

const providerViewSchema = z
  .strictObject({
    id: providerIdSchema.describe('Id of the provider, as in `method`.'),
    configured: z.boolean().describe('Whether jobs can use it.'),
    missing_setting: z.string().nullable().describe('Setting whose absence keeps the provider from being used.'),
    degraded: z.boolean().describe('Whether its output is for checking only.'),
    device: z.string().nullable().describe('Device that a worker used last: `cuda`, `webgpu` or `cpu`.'),
    licence: z.string().nullable().describe('License of the configured weights.'),
    model_precision: z
      .string()
      .nullable()
      .describe('Precision of the configured model (`float32`, `float16` or `int8`), as its model record states it.'),
    model_suits_device: z
      .boolean()
      .nullable()
      .describe('False when the model has layers for a GPU and the CPU runs them, or the reverse.'),
    usd_per_second: z
      .record(z.string(), z.number())
      .nullable()
      .describe('Price per second of output in USD, by mode; null for a provider that costs local time.'),
    balance_usd: z.number().nullable().describe('Balance at the vendor in USD.'),
    breaker: z
      .strictObject({
        state: z.enum(['closed', 'open', 'half_open']).describe('State of the circuit breaker.'),
        reason: z
          .enum(['faults', 'refused'])
          .nullable()
          .describe('Why it is not closed: faults of the vendor, or rejected credentials or an exhausted balance.'),
        open_until: z.iso.datetime().nullable().describe('From when a probe is admitted.'),
      })
      .describe('The circuit breaker of the provider.'),
  })
  .meta({ id: 'Provider', description: 'A provider of this installation. What is unknown or does not apply is null.' });

export const providersViewSchema = z
  .strictObject({
    providers: z.array(providerViewSchema).describe('In the order of `auto`.'),
    quality: z
      .strictObject({
        enabled: z.boolean().describe('Whether takes are assessed.'),
        syncnet: z.boolean().describe('Whether SyncNet, which makes `sync_score`, is configured.'),
        lr_asd: z.boolean().describe('Whether LR-ASD, which detects who speaks, is configured.'),
        dnsmos: z.boolean().describe('Whether DNSMOS, which rates the sound, is configured.'),
      })
      .describe('Models that measure quality.'),
  })
  .meta({ id: 'Providers', description: 'The providers of this installation.' });

export const estimateViewSchema = z
  .strictObject({
    duration: z.number().describe('Seconds of output.'),
    plan: z.array(providerIdSchema).describe('The providers that such a job tries, in order.'),
    plan_steps: z
      .array(
        z.strictObject({
          provider: providerIdSchema.describe('Id of the provider.'),
          kind: z.enum(['inline', 'remote']).describe('Whether it works in this installation or at a vendor.'),
          max_tries: z.int().describe('Failed attempts after which the next step follows.'),
          conditions: z
            .array(z.enum(['slot', 'breaker']))
            .describe('What must hold before an attempt: a free concurrency slot, a circuit breaker that admits it.'),
          cost_cap_usd: z.number().nullable().describe('Limit on the cost of all attempts of the job, in USD.'),
        }),
      )
      .describe('Tries, conditions and cap of each provider of the plan.'),
    first: providerIdSchema
      .nullable()
      .describe('First provider of the plan that neither a cap nor an open circuit breaker excludes.'),
    providers: z
      .array(
        z.strictObject({
          provider: providerIdSchema.describe('Id of the provider.'),
          cost_usd: z.number().describe('Maximum price, or the price of the expected local time, in USD.'),
          expected_seconds: z
            .number()
            .nullable()
            .describe('Time until the take, waiting included; null while the circuit breaker is open.'),
          measured: z.boolean().describe('Whether the time comes from takes of the last day.'),
          cap: z
            .enum(['job', 'daily', 'monthly', 'user_daily'])
            .nullable()
            .describe('The limit that excludes the provider; `job` is `max_cost_usd`.'),
        }),
      )
      .describe('Cost and time of each provider of the plan.'),
  })
  .meta({ id: 'Estimate', description: 'Plan, cost and time of a job that was not started.' });

const amountFields = {
  jobs: z.int().describe('Number of jobs with a priced attempt.'),
  cost_usd: z.number().describe('Spent, in USD.'),
  reserved_usd: z.number().describe('Reserved for running attempts, in USD.'),
};

export const costsViewSchema = z
  .strictObject({
    from: z.iso.date().describe('First UTC day.'),
    to: z.iso.date().describe('Last UTC day, inclusive.'),
    group_by: z.enum(['day', 'method', 'key', 'user']).describe('What each row sums up.'),
    rows: z
      .array(
        z.union([
          z.strictObject({ day: z.iso.date().describe('UTC day.'), ...amountFields }),
          z.strictObject({ method: providerIdSchema.describe('Id of the provider.'), ...amountFields }),
          z.strictObject({
            key: z
              .string()
              .nullable()
              .describe('Name of the API key, or the `user_id` without keys; null without both.'),
            ...amountFields,
          }),
          z.strictObject({
            user: z.string().nullable().describe('The `user_id`; for jobs without one the name of the key, or null.'),
            key: z.string().nullable().describe('API key within which the user counts; null without one.'),
            ...amountFields,
          }),
        ]),
      )
      .describe('One row per day, method, key or user.'),
    total: z.strictObject(amountFields).describe('Sum of the rows; a job that used two methods counts twice.'),
  })
  .meta({ id: 'Costs', description: 'Spent and reserved money.' });

export type ProblemView = z.infer<typeof problemViewSchema>;
export type ProvidersView = z.infer<typeof providersViewSchema>;
export type JobPageView = z.infer<typeof jobPageViewSchema>;
export type QualityJobPageView = z.infer<typeof qualityJobPageViewSchema>;
export type EstimateView = z.infer<typeof estimateViewSchema>;
export type CostsView = z.infer<typeof costsViewSchema>;
export type BatchPageView = z.infer<typeof batchPageViewSchema>;
export type DeliveryView = z.infer<typeof deliveryViewSchema>;
export type ReceiverPageView = z.infer<typeof receiverPageViewSchema>;
export type ReceiverView = z.infer<typeof receiverViewSchema>;
export type DeliveryPageView = z.infer<typeof deliveryPageViewSchema>;
