import { z } from 'zod';

const paceSchema = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('clock'), pendingMs: z.number().nonnegative(), runningMs: z.number().nonnegative() }),
  /** `pending` for so many reads, then `running` for so many; the next read waits for the video and says `completed`. */
  z.strictObject({ by: z.literal('reads'), pendingReads: z.int().nonnegative(), runningReads: z.int().nonnegative() }),
]);
export type ThroughputEstimate = z.output<typeof paceSchema>;

/** What can be changed while the stand-in runs. */
const settingsSchema = z.strictObject({
  pace: paceSchema,
  /** The clock of the pace runs this much faster. */
  timescale: z.number().positive(),
  /** Jobs that are pending or running at once; one more is refused. */
  maxConcurrent: z.int().positive(),
  retryAfterS: z.number().nonnegative(),
  linkLifetimeMs: z.number().positive(),
  speedMicrosPerSecond: z.int().nonnegative(),
  precisionMicrosPerSecond: z.int().nonnegative(),
  /** How a job's missing values are told; `mixed` changes from job to job. */
  emptyFields: z.enum(['null', 'absent', 'mixed']),
  simpleUploadMaxBytes: z.int().positive(),
  directUploadMaxBytes: z.int().positive(),
  /** Which status a simple upload above its limit is answered with. */
  oversizeStatus: z.union([z.literal(400), z.literal(413)]),
  /** How many times completing a direct upload is answered 409 although the bytes are there. */
  completeConflicts: z.int().nonnegative(),
  /** `.success` or `.fail` is added. */
  webhookEventPrefix: z.string(),
  /** How many times each event is sent again. */
  webhookDuplicates: z.int().nonnegative(),
  webhookDelayMs: z.number().nonnegative(),
});
export type StandinSettings = z.output<typeof settingsSchema>;

const mebibyte = 1024 ** 2;

const defaultSettings: StandinSettings = {
  pace: { by: 'clock', pendingMs: 1_000, runningMs: 4_000 },
  timescale: 1,
  maxConcurrent: 10,
  retryAfterS: 2,
  linkLifetimeMs: 3_600_000,
  speedMicrosPerSecond: 33_300,
  precisionMicrosPerSecond: 66_700,
  emptyFields: 'mixed',
  simpleUploadMaxBytes: 32 * mebibyte,
  directUploadMaxBytes: 200 * mebibyte,
  oversizeStatus: 400,
  completeConflicts: 1,
  webhookEventPrefix: 'video_translate',
  webhookDuplicates: 0,
  webhookDelayMs: 0,
};

/** The settings in force: one value that is replaced as a whole, and whoever waits by it is told. */
export interface LiveSettings {
  readonly current: StandinSettings;
  /** Throws a ZodError for a value that cannot be. */
  change(changes: Partial<StandinSettings>): void;
}

export function createLiveSettings(initial: Partial<StandinSettings>, onChange: () => void): LiveSettings {
  let current = settingsSchema.parse({ ...defaultSettings, ...initial });
  return {
    get current() {
      return current;
    },
    change(changes) {
      current = settingsSchema.parse({ ...current, ...changes });
      onChange();
    },
  };
}
