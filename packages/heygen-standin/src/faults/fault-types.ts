import { z } from 'zod';

/** Route names, as used by faults and the request log. */
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

/** Failure messages of accepted jobs. The first two come from HeyGen; the others are invented. */
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

/** Whether the request is processed before its response is replaced. */
const accepted = z.boolean().default(false);
const status = z.int().min(200).max(599);

const faultSchema = z.discriminatedUnion('kind', [
  // Any request: delays the response.
  z.strictObject({ kind: z.literal('delay'), delayMs: z.number().nonnegative().max(3_600_000) }),
  // Any request: cuts the connection.
  z.strictObject({ kind: z.literal('drop'), accepted }),
  // API calls: replaces the response.
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
  // Job creation: determines how the job ends.
  z.strictObject({
    kind: z.literal('fail'),
    reason: z.enum(failureReasons).optional(),
    message: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal('stick'), status: z.enum(['pending', 'running']).default('running') }),
  // Deletion: completes the job first, then refuses the deletion or keeps the job readable.
  z.strictObject({ kind: z.literal('finish'), outcome: z.enum(['refused', 'lingering']).default('refused') }),
  // Job status: changes values.
  z.strictObject({ kind: z.literal('status_word'), word: z.string() }),
  z.strictObject({ kind: z.literal('no_video_url') }),
  z.strictObject({ kind: z.literal('no_duration') }),
  z.strictObject({ kind: z.literal('video_url'), url: z.string() }),
  // Downloads: change the content.
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

/** Routes on which each fault can occur. A rule for another route is refused, because it could never apply. */
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
  /** Applies from the nth matching request on; 1 is the first. */
  nth: z.int().positive().default(1),
  /** Title of the job that the request is about; requests about no job do not match. */
  title: z.string().optional(),
  callbackId: z.string().optional(),
  lipsyncId: z.string().optional(),
});

export const faultRuleSchema = z
  .strictObject({
    match: matchSchema,
    fault: faultSchema,
    /** Number of requests to which the fault applies. */
    times: z.union([z.int().positive(), z.literal('always')]).default(1),
  })
  .refine(({ match, fault }) => routesOf[fault.kind].includes(match.route), 'This fault cannot happen on this route');

/** A scripted fault, as a caller writes it. */
export type FaultRuleInput = z.input<typeof faultRuleSchema>;
export type FaultRule = z.output<typeof faultRuleSchema>;
