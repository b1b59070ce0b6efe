import { z } from 'zod';

/** The routes by the names that faults and the log use. */
const routeNames = [
  'create',
  'get',
  'list',
  'rename',
  'delete',
  'statuses',
  'upload',
  'direct_upload',
  'put',
  'complete',
  'read_asset',
  'delete_asset',
  'me',
  'download',
] as const;
export type RouteName = (typeof routeNames)[number];

/** Texts of jobs that fail after they were accepted. The first two were seen; the wording of the others is ours. */
export const failureMessages = {
  audio_missing: "Your video's audio is missing or corrupted, please try with another video",
  download_failed: 'Failed to download video from url, please check the url is valid or the video is public',
  duration_mismatch: 'The duration of the audio differs too much from the duration of the video',
  no_face: 'No face was detected in the video, please try with another video',
} as const;
type FailureReason = keyof typeof failureMessages;
const failureReasons = [
  'audio_missing',
  'download_failed',
  'duration_mismatch',
  'no_face',
] as const satisfies readonly FailureReason[];

/** Whether the request is carried out before its answer is spoilt. */
const accepted = z.boolean().default(false);
const status = z.int().min(200).max(599);

const faultSchema = z.discriminatedUnion('kind', [
  // Any request: the answer comes late.
  z.strictObject({ kind: z.literal('delay'), delayMs: z.number().nonnegative().max(3_600_000) }),
  // Any request: the connection is cut instead of an answer.
  z.strictObject({ kind: z.literal('drop'), accepted }),
  // API calls: another answer than the true one.
  z.strictObject({
    kind: z.literal('error'),
    status,
    code: z.string(),
    message: z.string().default('Scripted error'),
    param: z.string().optional(),
    retryAfterS: z.number().nonnegative().optional(),
    accepted,
  }),
  z.strictObject({ kind: z.literal('html'), status, accepted }),
  z.strictObject({ kind: z.literal('empty'), status, accepted }),
  z.strictObject({ kind: z.literal('not_json'), accepted }),
  z.strictObject({
    kind: z.literal('error_in_200'),
    code: z.string().default('internal_error'),
    message: z.string().default('Scripted error'),
    accepted,
  }),
  // What becomes of the job that is created.
  z.strictObject({
    kind: z.literal('fail'),
    reason: z.enum(failureReasons).optional(),
    message: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal('stick'), status: z.enum(['pending', 'running']).default('running') }),
  // A deletion that comes too late: the job is completed just before, and the deletion is refused, or the job can still be read.
  z.strictObject({ kind: z.literal('finish'), outcome: z.enum(['refused', 'lingering']).default('refused') }),
  // What a reader of a job is told.
  z.strictObject({ kind: z.literal('status_word'), word: z.string() }),
  z.strictObject({ kind: z.literal('no_video_url') }),
  z.strictObject({ kind: z.literal('no_duration') }),
  z.strictObject({ kind: z.literal('video_url'), url: z.string() }),
  // What a download brings.
  z.strictObject({
    kind: z.literal('truncate'),
    keptFraction: z.number().min(0).max(1).default(0.5),
    announceWhole: z.boolean().default(true),
  }),
  z.strictObject({ kind: z.literal('content_type'), value: z.string().default('text/html') }),
  z.strictObject({ kind: z.literal('redirect'), location: z.string() }),
  z.strictObject({ kind: z.literal('unplayable') }),
  z.strictObject({ kind: z.literal('expired') }),
  z.strictObject({ kind: z.literal('stall'), keptFraction: z.number().min(0).max(1).default(0.5) }),
]);

export type Fault = z.output<typeof faultSchema>;
export type FaultKind = Fault['kind'];

const apiRoutes = routeNames.filter((name) => name !== 'put' && name !== 'download');

/** Where each fault can happen: a rule that could never fire is refused instead of kept. */
const routesOf: Readonly<Record<FaultKind, readonly RouteName[]>> = {
  delay: routeNames,
  drop: routeNames,
  error: routeNames,
  html: routeNames,
  empty: routeNames,
  not_json: apiRoutes,
  error_in_200: apiRoutes,
  fail: ['create'],
  stick: ['create'],
  finish: ['delete'],
  status_word: ['get', 'list', 'statuses'],
  no_video_url: ['get', 'list'],
  no_duration: ['get', 'list'],
  video_url: ['get', 'list'],
  truncate: ['download'],
  content_type: ['download'],
  redirect: ['download'],
  unplayable: ['download'],
  expired: ['download'],
  stall: ['download'],
};

const matchSchema = z.strictObject({
  route: z.enum(routeNames),
  /** Only from the nth request on that the rest of the rule fits; 1 is the first. */
  nth: z.int().positive().default(1),
  /** Of the job that a request is about; requests about none do not fit. */
  title: z.string().optional(),
  callbackId: z.string().optional(),
  lipsyncId: z.string().optional(),
});

export const faultRuleSchema = z
  .strictObject({
    match: matchSchema,
    fault: faultSchema,
    /** How many requests it happens to; `always` never wears off. */
    times: z.union([z.int().positive(), z.literal('always')]).default(1),
  })
  .refine(({ match, fault }) => routesOf[fault.kind].includes(match.route), 'This fault cannot happen on this route');

/** A fault to script, as a caller writes it. */
export type FaultRuleInput = z.input<typeof faultRuleSchema>;
export type FaultRule = z.output<typeof faultRuleSchema>;
