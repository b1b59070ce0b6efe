import {
  defaultOutputName,
  findEqualNames,
  findNameProblem,
  LipsyncError,
  maxBatchItems,
  type BatchItem,
  type BatchOptions,
  type InputField,
  type InputReference,
  type JobInputs,
} from '@lipsync/core/host';
import { isPlainObject, parseOptions, type LipsyncOptions } from '@lipsync/core/contract';
import { parseJsonBody, webhookField, type BodyRules, type JobBody, type UrlChecks } from './job-body.ts';
import { InvalidLine } from './batch-lines.ts';
import { maxFields } from './json-body.ts';
import { urlField } from './multipart.ts';
import { HttpError, invalidFields, refusalCodes, type FieldProblem, type RefusalCode } from './problem.ts';

export interface BatchBody {
  readonly items: readonly BatchItem[];
  readonly options: BatchOptions;
}

/** A batch as it was sent: fields for all items, and items. */
export interface GivenBatch {
  readonly fields: ReadonlyMap<string, unknown>;
  /** Undefined if they could not be read; then `problems` has the reason. */
  readonly items: readonly unknown[] | undefined;
  readonly problems: readonly FieldProblem[];
}

interface ManifestItemContent {
  /** Line of the manifest on which the row ends. */
  readonly line: number;
  readonly fields: ReadonlyMap<string, unknown>;
  /** Inputs that are files; the others are URLs among the fields. */
  readonly inputs: JobInputs;
  readonly problems: readonly FieldProblem[];
}

/** An item that is a row of a manifest. */
export class ManifestItem {
  readonly content: ManifestItemContent;

  constructor(content: ManifestItemContent) {
    this.content = content;
  }
}

/** Fields that hold for the batch as a whole: its receiver gets one message, and its limit is that of all jobs together. */
const fieldsOfBatch: readonly string[] = [webhookField, 'max_cost_usd'];

/** What is needed to parse an item. */
interface ItemRules {
  readonly rules: BodyRules<LipsyncOptions>;
  readonly checks: UrlChecks;
  /** Fields of the batch that every item has unless it has its own. */
  readonly common: ReadonlyMap<string, unknown>;
}

/** Returns the batch that the fields of a JSON body describe. Pure. */
export function toGivenBatch(body: ReadonlyMap<string, unknown>): GivenBatch {
  const fields = new Map([...body].filter(([name, value]) => name !== 'items' && !(value instanceof InvalidLine)));
  const lineProblems = [...body].flatMap(([field, value]) =>
    value instanceof InvalidLine ? [{ field, message: value.problem }] : [],
  );
  const items = body.get('items');
  const problem = findListProblem(items);
  if (problem === undefined) return { fields, items: Array.isArray(items) ? items : [], problems: lineProblems };
  return { fields, items: undefined, problems: [...lineProblems, { field: 'items', message: problem }] };
}

/**
 * Parses a batch: its items, each as a request for a job with an optional `output_name`, and options for all items.
 * Throws one error that lists the problems of all items, by index.
 */
export function parseBatchBody(
  { fields: given, items, problems: found }: GivenBatch,
  rules: BodyRules<LipsyncOptions>,
  checks: UrlChecks,
): BatchBody {
  const shared = parseOptions(given, rules.schema);
  const receivers = checks.refuseReceiver(given.get(webhookField));
  const ofItems = [...given].filter(([name]) => !fieldsOfBatch.includes(name));
  const common = new Map<string, unknown>([['optimize', 'cost'], ...(shared.options === undefined ? [] : ofItems)]);
  const refused = receivers.map(({ problem }) => problem);
  if (!items) throw invalidFields('request', [...shared.problems, ...refused, ...found]);
  const parsed = items.map((item, index) => parseItem(item, index, { rules, checks, common }));
  const invalid = parsed.filter((item) => item.type === 'invalid');
  const equalNames = findEqualNames(
    parsed.map((item) => (item.type === 'valid' ? item.value.outputName : undefined)),
  ).map(({ item, message }) => ({ field: `items.${item}.output_name`, message }));
  const problems = [
    ...found,
    ...shared.problems,
    ...refused,
    ...invalid.flatMap((item) => item.problems),
    ...equalNames,
  ];
  if (problems.length > 0 || shared.options === undefined) {
    const others = [...found, ...shared.problems, ...equalNames];
    const codes = new Set<RefusalCode>([
      ...invalid.map(({ code }) => code),
      ...receivers.map(({ isForbidden }): RefusalCode => (isForbidden ? 'url_forbidden' : 'request_invalid')),
      ...others.map((): RefusalCode => 'request_invalid'),
    ]);
    const [code] = codes;
    throw invalidFields('request', problems, codes.size === 1 ? code : 'request_invalid');
  }
  return {
    items: parsed.flatMap((item) => (item.type === 'valid' ? [item.value] : [])),
    options: {
      metadata: shared.options.metadata,
      userId: shared.options.userId,
      webhookUrl: shared.options.webhookUrl,
      maxCostUsd: shared.options.maxCostUsd,
    },
  };
}

/** The problems of an item. */
interface InvalidItem {
  readonly type: 'invalid';
  readonly problems: readonly FieldProblem[];
  /** Other than `request_invalid` if every problem is of this kind. */
  readonly code: RefusalCode;
}

function findListProblem(items: unknown): string | undefined {
  if (items === undefined) return 'is missing';
  if (!Array.isArray(items)) return 'must be a list';
  if (items.length === 0) return 'must not be empty';
  return items.length > maxBatchItems ? `must have at most ${maxBatchItems} entries` : undefined;
}

type ParsedItem = { readonly type: 'valid'; readonly value: BatchItem } | InvalidItem;

function parseItem(item: unknown, index: number, { rules, checks, common }: ItemRules): ParsedItem {
  const given = readItem(item, rules.files.required);
  const invalid = (problems: readonly FieldProblem[], code: RefusalCode = 'request_invalid'): InvalidItem => ({
    type: 'invalid',
    problems: problems.map(({ field, message }) => ({
      field: ['items', String(index), ...(field === '' ? [] : [nameInItem(field, item)])].join('.'),
      message: item instanceof ManifestItem ? `${message.replace(/\.$/, '')} (line ${item.content.line})` : message,
    })),
    code,
  });
  if (typeof given === 'string') return invalid([{ field: '', message: given }]);
  const outputName = given.fields.get('output_name');
  const own = [...given.fields].filter(([name]) => name !== 'output_name');
  const nameProblem = findNameProblem(outputName);
  const others = [
    ...given.problems,
    ...(nameProblem === undefined ? [] : [{ field: 'output_name', message: nameProblem }]),
  ];
  const job = parseJob(new Map([...common, ...own]), rules, { ...checks, requiredUrls: given.requiredUrls });
  if (job.type === 'invalid')
    return invalid([...job.problems, ...others], others.length === 0 ? job.code : 'request_invalid');
  if (others.length > 0) return invalid(others);
  const { video, audio } = { ...given.inputs, ...job.inputs };
  if (!video || !audio) throw new LipsyncError('internal', 'The item was accepted without an input.');
  const name = typeof outputName === 'string' ? outputName : defaultOutputName(index, clipNameOf(video));
  return { type: 'valid', value: { options: job.options, video, audio, outputName: name } };
}

interface ReadItem extends Omit<ManifestItemContent, 'line'> {
  /** Inputs that must be URLs. */
  readonly requiredUrls: readonly InputField[];
}

/** Returns what an item has, or what is wrong with the whole of it. */
function readItem(item: unknown, required: readonly InputField[]): ReadItem | string {
  if (item instanceof InvalidLine) return item.problem;
  if (item instanceof ManifestItem) {
    const { fields } = item.content;
    return { ...item.content, requiredUrls: required.filter((field) => fields.has(urlField(field))) };
  }
  if (!isPlainObject(item)) return 'must be an object';
  if (Object.keys(item).length > maxFields) return `must not have more than ${maxFields} fields`;
  return { fields: new Map(Object.entries(item)), inputs: {}, problems: [], requiredUrls: required };
}

/** A column of a manifest has files and URLs. */
function nameInItem(field: string, item: unknown): string {
  const [, column] = /^(video|audio)_url$/.exec(field) ?? [];
  return item instanceof ManifestItem && item.content.fields.has(field) ? (column ?? field) : field;
}

function clipNameOf(video: InputReference): string {
  switch (video.kind) {
    case 'url':
      return new URL(video.url).pathname;
    case 'artifact':
      return video.name;
    case 'file':
      return video.path;
  }
}

function parseJob(
  fields: ReadonlyMap<string, unknown>,
  rules: BodyRules<LipsyncOptions>,
  checks: UrlChecks & Pick<ReadItem, 'requiredUrls'>,
): JobBody<LipsyncOptions> | InvalidItem {
  try {
    return parseJsonBody(fields, rules, checks);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const { code, fields: found, message: summary } = error;
    const refusal = refusalCodes.find((known) => known === code);
    // The other errors describe their one field in the text of the error.
    const named = found.length > 0 ? found : [{ field: '', message: summary }];
    const problems = named.map(({ field, message }) => ({ field, message: refusal ? message : summary }));
    return { type: 'invalid', problems, code: refusal ?? 'request_invalid' };
  }
}

/** The receivers that a batch and its items name, before they are parsed. */
export function listReceivers({ fields, items = [] }: GivenBatch): readonly unknown[] {
  const ofItems = items.map((item) => {
    if (item instanceof ManifestItem) return item.content.fields.get(webhookField);
    return isPlainObject(item) ? item[webhookField] : undefined;
  });
  return [fields.get(webhookField), ...ofItems];
}

/**
 * Returns what an idempotency key compares: names of files do not count, and neither does a name that the output has
 * from its clip. Pure.
 */
export function toComparableBatch({ items, options }: BatchBody): object {
  return {
    items: items.map(({ video, audio, outputName, ...item }, index) => {
      const isDefault = video.kind === 'artifact' && outputName === defaultOutputName(index, video.name);
      const [clip, speech] = [video, audio].map(withoutName);
      return { ...item, video: clip, audio: speech, outputName: isDefault ? '' : outputName };
    }),
    options,
  };
}

function withoutName(input: InputReference): object {
  return input.kind === 'artifact' ? { key: input.key } : input;
}
