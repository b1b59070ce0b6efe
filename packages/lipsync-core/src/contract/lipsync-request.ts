import { z } from 'zod';
import { toSnakeCase } from './case.ts';
import { consentSchema } from './consent.ts';
import { findJsonProblem, isPlainObject } from './json.ts';
import { parseRequest, type RequestProblem } from './request-problems.ts';
import { visibleText } from './visible-text.ts';
import {
  labelCorners,
  labelLanguages,
  optimizations,
  qualityWindows,
  silenceModes,
  syncModes,
  type Method,
} from './vocabulary.ts';

const maxMetadataBytes = 16_384;
const maxMetadataDepth = 20;
const maxMetadataKeyLength = 100;

/** A position in a clip. An hour is the longest default and ten hours the most that a setting allows. */
const clipTimeMs = z.int().min(0).max(36_000_000);

const audioTrackText = [
  'Audio track of the speech file to use, counted from 1 among its audio tracks.',
  'By default the default track of the file, or the first one that can be decoded.',
].join(' ');

export const audioTrack = z.int().min(1).max(1_000).optional().describe(audioTrackText);

const syncModeText = [
  'How the clip is fitted to the speech when their lengths differ.',
  'When the speech is longer: `loop` starts the clip again, `bounce` runs it back and forth, `cut_off` ends the speech',
  'with the clip, `silence` holds the last frame, `remap` stretches the clip in time.',
  'When the speech is shorter: `silence` keeps the whole clip and pads the speech with silence, `remap` compresses the',
  'clip in time, and the other modes end the clip with the speech.',
].join(' ');

const silenceModeText = [
  'What the mouth does in pauses of the speech, with local providers: `close` closes it, `keep` shows that of the clip,',
  '`generate` follows the audio as in speech.',
].join(' ');

const optimizeText = [
  'Which provider is first when `method` is `auto`: the remote one (`quality`), the remote one for outputs shorter than',
  '30 s (`balanced`), the local one (`cost`), or the one with the earliest expected completion (`speed`).',
].join(' ');

const providerOptionsText = 'Options of single providers, by provider id.';

export const qualityWindowsText =
  'Which parts of the video are scored with SyncNet: up to 10 s in windows spread over it (`spread`, the default), or everything (`all`).';

/** Name or code of a service that makes synthetic media. */
export const aigcProducer = visibleText(100);

/** What a provider id may look like. */
export const providerIdSchema = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/);

/** Options of one provider, by name. */
export type ProviderOptionValues = Readonly<Record<string, unknown>>;

/** Optional fields of every kind of request. */
export const jobFields = {
  deadlineMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .optional()
    .describe('Time limit of the job in milliseconds, counted from acceptance.'),
  priority: z.int().min(0).max(10).default(5).describe('From 0 (first) to 10 (last).'),
  userId: visibleText(200)
    .optional()
    .describe('Your name for the user of the job, in visible characters. Budgets and costs can be counted by user.'),
  // Not a record: zod drops the key `__proto__` of a record before a check sees it.
  metadata: z
    .custom<Record<string, unknown>>(isPlainObject, 'must be an object')
    .meta({ type: 'object', additionalProperties: true })
    .superRefine(checkMetadata)
    .default({})
    .describe('Your own data, returned exactly: up to 16 KiB as JSON, nested up to 20 levels.'),
  webhookUrl: z
    .string()
    .max(2_048)
    .refine((value) => /^https?:\/\//i.test(value) && URL.canParse(value), 'must be an http or https URL')
    .optional()
    .describe('The http or https URL to which the end of the job is posted, as a Standard Webhook.'),
};

/** The optional fields of a lip-sync request, in TypeScript spelling. */
export const lipsyncFields = {
  method: z
    .custom<Method>((value) => providerIdSchema.safeParse(value).success, 'is not a known method')
    .default('auto'),
  optimize: z.enum(optimizations).default('quality').describe(optimizeText),
  providerOptions: z.record(z.string(), z.record(z.string(), z.unknown())).default({}).describe(providerOptionsText),
  audioTrack,
  syncMode: z.enum(syncModes).default('loop').describe(syncModeText),
  silenceMode: z.enum(silenceModes).default('close').describe(silenceModeText),
  startMs: clipTimeMs.optional().describe('Start of the part of the clip to use, in milliseconds.'),
  endMs: clipTimeMs.optional().describe('End of the part of the clip to use, in milliseconds.'),
  maxCostUsd: z.number().min(0).max(10_000).optional().describe('Limit on the cost of all attempts together, in USD.'),
  allowPreview: z
    .boolean()
    .default(false)
    .describe('Whether the preview renderer, which only shows timing, may make the video when no other provider can.'),
  minSyncScore: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('A take with a lower `sync_score` is rejected while another provider can make one.'),
  // Optional rather than with a default, because stored jobs are found by a digest of the options.
  qualityWindows: z.enum(qualityWindows).optional().describe(qualityWindowsText),
  visibleLabel: z
    .enum(labelLanguages)
    .optional()
    .describe('Language of a label in the first two seconds of the output, which states that it is made with AI.'),
  labelCorner: z.enum(labelCorners).optional().describe('Where the label is drawn.'),
  aigcProducer: aigcProducer
    .optional()
    .describe(
      'Your name or code as the producer in the `AIGC` metadata of the output, which GB 45438-2025 (China) requires.',
    ),
  consent: consentSchema.optional(),
  cache: z
    .boolean()
    .optional()
    .describe('False renders again where an equal job has a result, which is reused otherwise.'),
  webhookProgress: z
    .boolean()
    .optional()
    .describe('Whether `webhook_url` also gets `lipsync.progress`, at most every 30 s. Default: false.'),
  ...jobFields,
};

/**
 * The optional fields of a lip-sync request in TypeScript spelling, whatever the providers are. Hosts parse requests
 * with `createOptionsSchema`, which also checks the provider options. Unknown fields are rejected.
 */
export const lipsyncOptionsSchema = z.strictObject(lipsyncFields).refine(hasValidWindow, invalidWindow());

/** Options with every default filled in. */
export type LipsyncOptions = z.output<typeof lipsyncOptionsSchema>;

/** Fields of earlier versions that set a provider option. */
interface FormerFields {
  /** Same as `providerOptions.heygen.mode`. */
  readonly heygenMode?: 'speed' | 'precision' | undefined;
}

/** Options as a caller may give them. */
export type LipsyncOptionsInput = z.input<typeof lipsyncOptionsSchema> & FormerFields;

/** What a provider adds to a request. */
export interface RequestProvider {
  readonly id: string;
  readonly options: {
    /** Strict, with a default for every option: parsing `{}` yields the options of a request that names none. */
    readonly schema: z.ZodObject;
    /** Request fields of earlier versions, each with the option that it sets. */
    readonly formerFields?: Readonly<Record<string, { readonly option: string; readonly schema: z.ZodType }>>;
  };
}

/** The names of all request fields. Pure. */
export function listOptionFields(providers: readonly RequestProvider[]): readonly string[] {
  return [
    ...Object.keys(lipsyncFields),
    ...providers.flatMap(({ options }) => Object.keys(options.formerFields ?? {})),
  ];
}

/**
 * The schema of a request to an installation with these providers. It fills in the options of every provider, and maps
 * fields of earlier versions to provider options. Pure.
 */
export function createOptionsSchema(
  providers: readonly RequestProvider[],
): z.ZodType<LipsyncOptions, LipsyncOptionsInput> {
  const byId = <Value>(toValue: (provider: RequestProvider) => Value): Record<string, Value> =>
    Object.fromEntries(providers.map((provider) => [provider.id, toValue(provider)]));
  const formerFields = providers.flatMap(({ id, options }) =>
    Object.entries(options.formerFields ?? {}).map(([field, { option, schema }]) => ({ id, field, option, schema })),
  );
  const known = z.strictObject(knownFields(providers, filledOptions));
  const schema = z.unknown().transform((given, context) => {
    const parsed = parseRequest(known, given);
    const problems = [
      ...(parsed.type === 'invalid' ? parsed.problems : []),
      ...listContradictions(given, formerFields),
    ];
    for (const { path, message } of problems) context.addIssue({ code: 'custom', path: [...path], message });
    if (parsed.type === 'invalid') return z.NEVER;
    const rest: Record<string, unknown> = { ...parsed.value };
    const values = byId(({ id }) => ({ ...parsed.value.providerOptions[id] }));
    for (const { id, field, option } of formerFields) {
      const former = rest[field];
      delete rest[field];
      if (former !== undefined) values[id] = { ...values[id], [option]: former };
    }
    return { ...rest, providerOptions: values };
  });
  // `as`: the fields are those of `lipsyncOptionsSchema`; zod cannot infer the ones that depend on the providers.
  return schema as unknown as z.ZodType<LipsyncOptions, LipsyncOptionsInput>;
}

/**
 * The fields that `createOptionsSchema` parses, in HTTP spelling and as an object whose shape can be read; for
 * documentation, since it does not contain the checks between fields. Pure.
 */
export function createDocumentedOptions(providers: readonly RequestProvider[]): z.ZodObject {
  return toSnakeCaseFields(
    z.strictObject({
      ...knownFields(providers, ({ id, options }) =>
        toSnakeCaseFields(options.schema).prefault({}).describe(`Options of ${id}.`),
      ),
      consent: consentViewSchema.optional(),
    }),
  );
}

/** The consent in HTTP spelling. */
export const consentViewSchema = toSnakeCaseFields(consentSchema).describe(consentSchema.description ?? '');

/** The same object with fields in HTTP spelling. Fields of inner objects keep their names. Pure. */
export function toSnakeCaseFields({ shape }: z.ZodObject): z.ZodObject {
  return z.strictObject(Object.fromEntries(Object.entries(shape).map(([name, field]) => [toSnakeCase(name), field])));
}

function knownFields(
  providers: readonly RequestProvider[],
  optionsOf: (provider: RequestProvider) => z.ZodType<ProviderOptionValues>,
) {
  const former = providers.flatMap(({ id, options }) =>
    Object.entries(options.formerFields ?? {}).map(([field, { option, schema }]) => {
      const description = `Earlier name of \`provider_options.${id}.${option}\`.`;
      return [field, schema.optional().meta({ description, deprecated: true })] as const;
    }),
  );
  return {
    ...lipsyncFields,
    method: z
      .enum(['auto', ...providers.map(({ id }) => id)])
      .default('auto')
      .describe('Provider that makes the video; `auto` tries the configured ones in the order of `optimize`.'),
    providerOptions: z
      .strictObject(Object.fromEntries(providers.map((provider) => [provider.id, optionsOf(provider)])))
      .prefault({})
      .describe(providerOptionsText),
    ...Object.fromEntries(former),
  };
}

/** The options of one provider, with defaults for those that are missing. */
function filledOptions({ options }: RequestProvider) {
  return z
    .record(z.string(), z.unknown())
    .prefault({})
    .transform((given, context) => {
      const parsed = parseRequest(options.schema, given);
      if (parsed.type === 'valid') return parsed.value;
      for (const { path, message } of parsed.problems) context.addIssue({ code: 'custom', path: [...path], message });
      return z.NEVER;
    });
}

interface FormerField {
  readonly id: string;
  readonly field: string;
  readonly option: string;
}

/**
 * Problems between fields, found in the unparsed request: a check of the schema does not run when another field is
 * invalid, and would be reported only after that one is corrected.
 */
function listContradictions(request: unknown, formerFields: readonly FormerField[]): readonly RequestProblem[] {
  if (!isContainer(request)) return [];
  const given: { readonly [name: string]: unknown } = { ...request };
  const { path, message } = invalidWindow();
  return [
    ...(hasValidWindow(given) ? [] : [{ path, message }]),
    ...formerFields.flatMap(({ id, field, option }) => {
      const former = given[field];
      const current = readPath(given['providerOptions'], [id, option]);
      if (former === undefined || current === undefined || former === current) return [];
      return [{ path: [field], message: `contradicts provider_options.${id}.${option}` }];
    }),
  ];
}

/** The value at a path of names; undefined if an object on the way is missing. */
function readPath(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, name) => (isContainer(inner) ? Object.entries(inner).find(([key]) => key === name)?.[1] : undefined),
    value,
  );
}

/** Fields that are no numbers have a problem of their own. */
function hasValidWindow({ startMs, endMs }: { readonly startMs?: unknown; readonly endMs?: unknown }): boolean {
  return typeof startMs !== 'number' || typeof endMs !== 'number' || startMs < endMs;
}

function invalidWindow() {
  return { path: ['endMs'], message: 'must be later than the start of the part to use' };
}

function checkMetadata(value: object, context: z.core.$RefinementCtx): void {
  const refuse = (message: string, path: readonly (string | number)[] = []): void =>
    context.addIssue({ code: 'custom', path: [...path], message });
  // First: the other checks recurse, which deep nesting would turn into a stack overflow.
  if (!isNoDeeperThan(value, maxMetadataDepth))
    return refuse(`must not be nested deeper than ${maxMetadataDepth} levels`);
  const problem = findJsonProblem(value);
  if (problem) return refuse(problem.message, problem.path);
  if (Object.keys(value).some((key) => key.length > maxMetadataKeyLength))
    refuse(`must not have a key of more than ${maxMetadataKeyLength} characters`);
  if (Buffer.byteLength(JSON.stringify(value)) > maxMetadataBytes)
    refuse(`must be at most ${maxMetadataBytes} bytes as JSON`);
}

/** Checks level by level, without recursion and never below the limit, since the caller chooses the depth. */
function isNoDeeperThan(value: object, maxDepth: number): boolean {
  let level: readonly object[] = [value];
  for (let depth = 0; depth < maxDepth && level.length > 0; depth += 1) {
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return level.length === 0;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
