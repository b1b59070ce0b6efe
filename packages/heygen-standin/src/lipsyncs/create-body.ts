import { z } from 'zod';
import { invalidParameter } from '../http/answer.ts';

const mediaSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('url'), url: z.url({ protocol: /^https?$/ }) }),
  z.strictObject({ type: z.literal('asset_id'), asset_id: z.string().min(1) }),
]);

const createSchema = z.strictObject({
  video: mediaSchema,
  audio: mediaSchema,
  mode: z.enum(['speed', 'precision']).default('speed'),
  title: z.string().nullish(),
  callback_url: z.url({ protocol: /^https?$/ }).nullish(),
  callback_id: z.string().nullish(),
  enable_caption: z.boolean().default(false),
  keep_the_same_format: z.boolean().nullish(),
  enable_dynamic_duration: z.boolean().default(true),
  disable_music_track: z.boolean().default(false),
  enable_speech_enhancement: z.boolean().default(false),
  enable_watermark: z.boolean().default(false),
  start_time: z.number().nonnegative().nullish(),
  end_time: z.number().nonnegative().nullish(),
  fps_mode: z.string().nullish(),
  folder_id: z.string().nullish(),
});

export type MediaReference = z.output<typeof mediaSchema>;
export type CreateBody = z.output<typeof createSchema>;

/** Parses the body of a create request. Throws 400 `invalid_parameter` with the first invalid field. */
export function parseCreateBody(body: unknown): CreateBody {
  return parseBody(createSchema, body);
}

/** Parses a request body. Throws 400 `invalid_parameter` with the first invalid field. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys')
    throw invalidParameter([...issue.path, issue.keys[0]].join('.'), 'Extra inputs are not permitted');
  throw invalidParameter(issue?.path.join('.') ?? 'body', issue?.message ?? 'Invalid body');
}
