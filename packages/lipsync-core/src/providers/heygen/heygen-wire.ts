import { z } from 'zod';
import { HeygenError, type VendorReason } from './heygen-errors.ts';

/** Optional text. Values of other types count as absent. */
const text = z
  .string()
  .nullish()
  .catch(null)
  .transform((value) => value ?? null);
const id = z
  .string()
  .min(1)
  .max(256)
  .regex(/^\w[\w:.-]*$/);

const refusalSchema = z.object({
  code: z
    .union([z.string(), z.number().transform(String)])
    .nullish()
    .catch(null)
    .transform((code) => code ?? null),
  message: text,
});
const envelopeSchema = z.object({
  data: z.unknown().optional(),
  error: z.union([refusalSchema, z.string()]).nullish().catch(null),
  errors: z.array(refusalSchema).nullish().catch(null),
  has_more: z.boolean().nullish().catch(null),
  next_token: text,
});

export interface Envelope {
  /** Null without data. */
  readonly data: unknown;
  /** Null without an error. */
  readonly reason: VendorReason | null;
  /** Token of the next page of a list; null at its end, if HeyGen omits it, and for other responses. */
  readonly nextToken: string | null;
  /** Whether the list continues, according to HeyGen. */
  readonly hasMore: boolean;
}

/** Parses the envelope of a response. Null for another body: the page of a gateway, an empty body, truncated JSON. */
export function parseEnvelope(body: string): Envelope | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  const { data: envelope } = envelopeSchema.safeParse(value);
  if (!envelope) return null;
  const first = envelope.error ?? envelope.errors?.[0] ?? null;
  return {
    data: envelope.data ?? null,
    reason: typeof first === 'string' ? { code: null, message: first } : first,
    nextToken: envelope.has_more === false ? null : envelope.next_token,
    hasMore: envelope.has_more ?? false,
  };
}

/** The id of a new operation. HeyGen documents two names for it. */
export const createdSchema = z.union([
  z.object({ lipsync_id: id }).transform((data) => data.lipsync_id),
  z.object({ id }).transform((data) => data.id),
]);

/** The id of an uploaded file. */
export const assetSchema = z.union([
  z.object({ asset_id: id }).transform((data) => data.asset_id),
  z.object({ id }).transform((data) => data.id),
]);

const headerName = z.string().regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/);

/** The target of a direct upload. */
export const directUploadSchema = z.object({
  asset_id: id,
  upload_url: z.string(),
  upload_headers: z
    .record(
      headerName,
      z
        .string()
        .max(4_096)
        .regex(/^[^\r\n\0]*$/),
    )
    .nullish()
    .transform((headers) => headers ?? {}),
  max_bytes: z
    .number()
    .positive()
    .nullish()
    .catch(null)
    .transform((value) => value ?? null),
});
export type DirectUpload = z.output<typeof directUploadSchema>;

export type LipsyncPhase = 'pending' | 'completed' | 'failed';

const completedPattern = /^(completed?|succeeded|success|done|finished)$/i;
const failedPattern = /^(failed|failure|error|cancell?ed|rejected)$/i;

/** An unknown status counts as pending; the time limit of the attempt ends the wait. */
function toPhase(word: string): LipsyncPhase {
  const status = word.trim();
  if (completedPattern.test(status)) return 'completed';
  return failedPattern.test(status) ? 'failed' : 'pending';
}

/** A longer output is implausible; its duration counts as unknown. */
const maxOutputS = 86_400;

/** The state of an operation. */
export interface LipsyncReading {
  readonly phase: LipsyncPhase;
  /** Charged duration of the output in seconds; null if HeyGen omits it or returns an implausible value. */
  readonly durationS: number | null;
  /** A link that expires; null before it exists. */
  readonly videoUrl: string | null;
  readonly failureMessage: string | null;
}

export const lipsyncSchema = z
  .object({
    status: z.string().transform(toPhase),
    duration: z
      .number()
      .nonnegative()
      .max(maxOutputS)
      .nullish()
      .catch(null)
      .transform((value) => value ?? null),
    video_url: text,
    failure_message: text,
  })
  .transform(({ status, duration, video_url, failure_message }): LipsyncReading => ({
    phase: status,
    durationS: duration,
    videoUrl: video_url,
    failureMessage: failure_message,
  }));

/** An operation in a list. */
export interface ListedLipsync {
  readonly id: string;
  readonly callbackId: string | null;
  readonly title: string | null;
  /** Null if HeyGen omits it. */
  readonly createdAtMs: number | null;
}

const listedSchema = z
  .object({
    id,
    callback_id: text,
    title: text,
    created_at: z.number().nullish().catch(null),
  })
  .transform(({ id: lipsyncId, callback_id, title, created_at }): ListedLipsync => ({
    id: lipsyncId,
    callbackId: callback_id,
    title,
    createdAtMs: typeof created_at === 'number' ? created_at * 1000 : null,
  }));

export interface LipsyncPage {
  readonly lipsyncs: readonly ListedLipsync[];
  readonly nextToken: string | null;
  readonly hasMore: boolean;
}

/** Parses an envelope, not only its data. */
export const lipsyncPageSchema = z
  .object({ data: z.array(listedSchema), nextToken: z.string().nullable(), hasMore: z.boolean() })
  .transform(({ data, ...rest }): LipsyncPage => ({ lipsyncs: data, ...rest }));

/** Statuses of the bulk route, in the order of the requested ids. */
export const bulkStatusesSchema = z.array(z.object({ status: z.string() }));

/** Parses the data of a response. Throws `provider_protocol` with the name of the call. */
export function parseData<Schema extends z.ZodType>(schema: Schema, data: unknown, callName: string): z.output<Schema> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new HeygenError(
    'provider_protocol',
    `HeyGen's response to ${callName} does not match its API. Report this error.`,
    { cause: new Error(z.prettifyError(parsed.error)) },
  );
}
