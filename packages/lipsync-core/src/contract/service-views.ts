import { z } from 'zod';
import { jobViewSchema, qualityJobViewSchema } from './job-view.ts';
import { providerIdSchema } from './lipsync-request.ts';

/** Responses about the service instead of one job, and the problem document. What is unknown is null. */

const usd = z.number();

function pageOf<Job extends z.ZodType>(job: Job) {
  return z.strictObject({ jobs: z.array(job), next_cursor: z.string().nullable() });
}

export const jobPageViewSchema = pageOf(jobViewSchema);
export const qualityJobPageViewSchema = pageOf(qualityJobViewSchema);

export const estimateViewSchema = z.strictObject({
  /** Seconds of output. */
  duration: z.number(),
  plan: z.array(providerIdSchema),
  plan_steps: z.array(
    z.strictObject({
      provider: providerIdSchema,
      kind: z.enum(['inline', 'remote']),
      max_tries: z.int(),
      conditions: z.array(z.string()),
      cost_cap_usd: usd.nullable(),
    }),
  ),
  /** First provider of the plan that no cap or open circuit breaker excludes. */
  first: providerIdSchema.nullable(),
  providers: z.array(
    z.strictObject({
      provider: providerIdSchema,
      cost_usd: usd,
      expected_seconds: z.number().nullable(),
      measured: z.boolean(),
      /** Limit that excludes the provider. */
      cap: z.string().nullable(),
    }),
  ),
});

const costFields = { jobs: z.int(), cost_usd: usd, reserved_usd: usd };

export const costsViewSchema = z.strictObject({
  from: z.iso.date(),
  to: z.iso.date(),
  group_by: z.enum(['day', 'method', 'key', 'user']),
  /** Each row has the field that `group_by` names; a row of a user also has the API key within which it counts. */
  rows: z.array(
    z.strictObject({
      day: z.string().optional(),
      method: z.string().optional(),
      user: z.string().nullable().optional(),
      key: z.string().nullable().optional(),
      ...costFields,
    }),
  ),
  total: z.strictObject(costFields),
});

export const providersViewSchema = z.strictObject({
  providers: z.array(
    z.strictObject({
      id: providerIdSchema,
      configured: z.boolean(),
      missing_setting: z.string().nullable(),
      degraded: z.boolean(),
      device: z.string().nullable(),
      licence: z.string().nullable(),
      model_suits_device: z.boolean().nullable(),
      usd_per_second: z.record(z.string(), usd).nullable(),
      balance_usd: usd.nullable(),
      breaker: z.strictObject({
        state: z.string(),
        reason: z.string().nullable(),
        open_until: z.iso.datetime().nullable(),
      }),
    }),
  ),
  /** Whether outputs are assessed, and which optional models are configured for it. */
  quality: z.strictObject({ enabled: z.boolean(), syncnet: z.boolean(), lr_asd: z.boolean(), dnsmos: z.boolean() }),
});

/** The body of every error response (RFC 9457). */
export const problemViewSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  retryable: z.boolean(),
  request_id: z.string(),
  errors: z.array(z.strictObject({ field: z.string(), message: z.string() })),
});

export type JobPageView = z.infer<typeof jobPageViewSchema>;
export type QualityJobPageView = z.infer<typeof qualityJobPageViewSchema>;
export type EstimateView = z.infer<typeof estimateViewSchema>;
export type CostsView = z.infer<typeof costsViewSchema>;
export type ProvidersView = z.infer<typeof providersViewSchema>;
export type ProblemView = z.infer<typeof problemViewSchema>;
