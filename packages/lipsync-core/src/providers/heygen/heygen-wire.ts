import { z } from 'zod';
import { LipsyncError } from '../../errors/index.ts';

/** Text that may be null or absent; what is no text counts as absent. */
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

/** What the vendor gave as its reason; null where it did not say. */
export interface VendorReason {
  readonly code: string | null;
  readonly message: string | null;
}

export interface Envelope {
  /** Null when the answer holds none. */
  readonly data: unknown;
  /** Null when the answer names no error. */
  readonly reason: VendorReason | null;
  /** Where the next page of a list begins; null where this is no list, or its end, or where that is not said. */
  readonly nextToken: string | null;
  /** Whether there is more of a list, as far as it says so. */
  readonly hasMore: boolean;
}

/** Opens the envelope of an answer. Null for what is none: a gateway's page, an empty body, half a JSON. */
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

/** The id of a new operation; documents name it in two ways. */
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

/** Where the bytes of a large file are to be put. */
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

const finishedWords: ReadonlySet<string> = new Set([
  'completed',
  'complete',
  'succeeded',
  'success',
  'done',
  'finished',
]);
const failedWords: ReadonlySet<string> = new Set(['failed', 'failure', 'error', 'canceled', 'canceled', 'rejected']);

/** A word that nobody knows means that the operation goes on: whoever waits has a time limit. */
function phaseOf(word: string): LipsyncPhase {
  const known = word.trim().toLowerCase();
  if (finishedWords.has(known)) return 'completed';
  return failedWords.has(known) ? 'failed' : 'pending';
}

/** Seconds. What is said to last longer is no output of ours: how long it is, is not known then. */
const longestOutputS = 86_400;

/** An operation as it is read. */
export interface LipsyncReading {
  readonly phase: LipsyncPhase;
  /** Seconds of output, which is what is billed; null where HeyGen does not say, or says what cannot be. */
  readonly durationS: number | null;
  /** A link that expires. */
  readonly videoUrl: string | null;
  readonly failureMessage: string | null;
}

export const lipsyncSchema = z
  .object({
    status: z.string().transform(phaseOf),
    duration: z
      .number()
      .nonnegative()
      .max(longestOutputS)
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

/** An operation among others. */
export interface ListedLipsync {
  readonly id: string;
  readonly callbackId: string | null;
  readonly title: string | null;
  /** Null where HeyGen does not say. */
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

/** Reads an envelope, not its data alone. */
export const lipsyncPageSchema = z
  .object({ data: z.array(listedSchema), nextToken: z.string().nullable(), hasMore: z.boolean() })
  .transform(({ data, ...rest }): LipsyncPage => ({ lipsyncs: data, ...rest }));

/** The bulk route's word for operations that it does not know; it names their ids otherwise than the rest. */
export const bulkStatusesSchema = z.array(z.object({ status: z.string() }));

/** `data` as `schema` has it. Throws `provider_protocol` that says what was asked. */
export function parseData<Schema extends z.ZodType>(schema: Schema, data: unknown, asked: string): z.output<Schema> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new LipsyncError('provider_protocol', `HeyGen's answer to ${asked} is not of the form that its API promises.`, {
    cause: new Error(z.prettifyError(parsed.error)),
  });
}
