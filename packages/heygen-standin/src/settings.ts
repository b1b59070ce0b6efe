import { z } from 'zod';

const paceSchema = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('clock'), pendingMs: z.number().nonnegative(), runningMs: z.number().nonnegative() }),
  /** `pendingReads` reads return `pending`, then `runningReads` return `running`; the next read waits for the video. */
  z.strictObject({ by: z.literal('reads'), pendingReads: z.int().nonnegative(), runningReads: z.int().nonnegative() }),
]);

/** How the mouth of a finished video relates to the speech. */
export const mouthModes = ['moving', 'old', 'frozen', 'shifted'] as const;
export type MouthMode = (typeof mouthModes)[number];

/** Settings that can change while the stand-in runs. */
const settingsSchema = z.strictObject({
  /** What moves a job through its states: time, or status reads. */
  pace: paceSchema,
  /** Speeds up a clock pace by this factor. */
  timescale: z.number().positive(),
  /**
   * `moving`: lips drawn along the speech; `old`: the clip's own lips; `frozen`: the first picture held; `shifted`: as
   * `moving`, with the sound 8 frames late.
   */
  mouth: z.enum(mouthModes),
  /** Maximum number of pending and running jobs; a further one is refused with 429. */
  maxConcurrent: z.int().positive(),
  retryAfterS: z.number().nonnegative(),
  linkLifetimeMs: z.number().positive(),
  speedMicrosPerSecond: z.int().nonnegative(),
  precisionMicrosPerSecond: z.int().nonnegative(),
  /** Missing values of a job are null, absent, or `mixed`: alternating between jobs. */
  emptyFields: z.enum(['null', 'absent', 'mixed']),
  simpleUploadMaxBytes: z.int().positive(),
  directUploadMaxBytes: z.int().positive(),
  /** Status of the response to a simple upload that is too large. */
  oversizeStatus: z.union([z.literal(400), z.literal(413)]),
  /** How many completions of a direct upload fail with 409 although the bytes arrived. */
  completeConflicts: z.int().nonnegative(),
  /** Followed by `.success` or `.fail`. */
  webhookEventPrefix: z.string(),
  /** How many more times each event is sent. */
  webhookDuplicates: z.int().nonnegative(),
  webhookDelayMs: z.number().nonnegative(),
});
export type StandinSettings = z.output<typeof settingsSchema>;

const mebibyte = 1024 ** 2;

const defaultSettings: StandinSettings = {
  pace: { by: 'clock', pendingMs: 1_000, runningMs: 4_000 },
  timescale: 1,
  // Costs next to nothing, and works with clips without a face.
  mouth: 'old',
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

/** The settings in force. */
export class LiveSettings {
  readonly #onChange: () => void;
  #current: StandinSettings;

  /** Throws a ZodError for invalid settings. */
  constructor(initial: Partial<StandinSettings>, onChange: () => void) {
    this.#current = settingsSchema.parse({ ...defaultSettings, ...initial });
    this.#onChange = onChange;
  }

  get current(): StandinSettings {
    return this.#current;
  }

  /** Replaces some settings. Throws a ZodError for invalid ones, and then changes none. */
  change(changes: Partial<StandinSettings>): void {
    this.#current = settingsSchema.parse({ ...this.#current, ...changes });
    this.#onChange();
  }
}
