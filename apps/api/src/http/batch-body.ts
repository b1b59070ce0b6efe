import {
  defaultOutputName,
  findEqualNames,
  findNameProblem,
  LipsyncError,
  maxBatchItems,
  type BatchItem,
  type BatchOptions,
} from '@lipsync/core/host';
import { isPlainObject, parseOptions, type LipsyncOptions } from '@lipsync/core/contract';
import {
  onlyForbidden,
  parseJsonBody,
  webhookField,
  type BodyRules,
  type JobBody,
  type UrlChecks,
} from './job-body.ts';
import { InvalidLine } from './batch-lines.ts';
import { maxFields } from './json-body.ts';
import { HttpError, invalidFields, type FieldProblem } from './problem.ts';

export interface BatchBody {
  readonly items: readonly BatchItem[];
  readonly options: BatchOptions;
}

/** What is needed to parse an item. */
interface ItemRules {
  readonly rules: BodyRules<LipsyncOptions>;
  readonly checks: UrlChecks;
  /** Fields of the batch that every item has unless it has its own. */
  readonly common: ReadonlyMap<string, unknown>;
}

/**
 * Parses the fields of a batch: `items`, each as a JSON request for a job with an optional `output_name`, and options
 * for all items. Throws one error that lists the problems of all items, by index.
 */
export function parseBatchBody(
  fields: ReadonlyMap<string, unknown>,
  rules: BodyRules<LipsyncOptions>,
  checks: UrlChecks,
): BatchBody {
  const given = new Map([...fields].filter(([name, value]) => name !== 'items' && !(value instanceof InvalidLine)));
  const lineProblems = [...fields].flatMap(([field, value]) =>
    value instanceof InvalidLine ? [{ field, message: value.problem }] : [],
  );
  const shared = parseOptions(new Map([...given].filter(([name]) => name !== 'max_cost_usd')), rules.schema);
  const costProblem = given.has('max_cost_usd')
    ? [{ field: 'max_cost_usd', message: 'is not supported for a whole batch: set it in each item' }]
    : [];
  const receivers = checks.refuseReceiver(given.get(webhookField));
  // The receiver of a batch gets one message about the whole.
  const ofItems = [...given].filter(([name]) => name !== webhookField);
  const common = new Map<string, unknown>([['optimize', 'cost'], ...(shared.options === undefined ? [] : ofItems)]);
  const items = listItems(fields.get('items'));
  const ownProblems = [...lineProblems, ...shared.problems, ...costProblem, ...receivers.map(({ problem }) => problem)];
  if (items.type === 'invalid') throw invalidFields('request', [...ownProblems, ...items.problems]);
  const parsed = items.values.map((item, index) => parseItem(item, index, { rules, checks, common }));
  const invalid = parsed.filter((item) => item.type === 'invalid');
  const equalNames = findEqualNames(
    parsed.map((item) => (item.type === 'valid' ? item.value.outputName : undefined)),
  ).map(({ item, message }) => ({ field: `items.${item}.output_name`, message }));
  const problems = [...ownProblems, ...invalid.flatMap((item) => item.problems), ...equalNames];
  if (problems.length > 0 || shared.options === undefined) {
    const others = [...lineProblems, ...shared.problems, ...costProblem, ...equalNames];
    const isForbidden = onlyForbidden([...invalid, ...receivers], others);
    throw invalidFields('request', problems, isForbidden ? 'url_forbidden' : 'request_invalid');
  }
  return {
    items: parsed.flatMap((item) => (item.type === 'valid' ? [item.value] : [])),
    options: {
      metadata: shared.options.metadata,
      userId: shared.options.userId,
      webhookUrl: shared.options.webhookUrl,
    },
  };
}

/** The problems of an item. */
interface InvalidItem {
  readonly type: 'invalid';
  readonly problems: readonly FieldProblem[];
  /** Every problem is a URL that the service does not fetch. */
  readonly isForbidden: boolean;
}

type ItemList =
  | { readonly type: 'valid'; readonly values: readonly unknown[] }
  | { readonly type: 'invalid'; readonly problems: readonly FieldProblem[] };

function listItems(value: unknown): ItemList {
  const refuse = (message: string): ItemList => ({ type: 'invalid', problems: [{ field: 'items', message }] });
  if (value === undefined) return refuse('is missing');
  if (!Array.isArray(value)) return refuse('must be a list');
  if (value.length === 0) return refuse('must not be empty');
  if (value.length > maxBatchItems) return refuse(`must have at most ${maxBatchItems} entries`);
  return { type: 'valid', values: value };
}

type ParsedItem = { readonly type: 'valid'; readonly value: BatchItem } | InvalidItem;

function parseItem(item: unknown, index: number, { rules, checks, common }: ItemRules): ParsedItem {
  const invalid = (problems: readonly FieldProblem[], isForbidden = false): InvalidItem => ({
    type: 'invalid',
    problems: problems.map(({ field, message }) => ({
      field: ['items', String(index), ...(field === '' ? [] : [field])].join('.'),
      message,
    })),
    isForbidden,
  });
  if (item instanceof InvalidLine) return invalid([{ field: '', message: item.problem }]);
  if (!isPlainObject(item)) return invalid([{ field: '', message: 'must be an object' }]);
  if (Object.keys(item).length > maxFields)
    return invalid([{ field: '', message: `must not have more than ${maxFields} fields` }]);
  const { output_name: outputName, ...own } = item;
  const nameProblem = findNameProblem(outputName);
  const nameProblems = nameProblem === undefined ? [] : [{ field: 'output_name', message: nameProblem }];
  const job = parseJob(new Map([...common, ...Object.entries(own)]), rules, checks);
  if (job.type === 'invalid')
    return invalid([...job.problems, ...nameProblems], job.isForbidden && nameProblems.length === 0);
  if (nameProblems.length > 0) return invalid(nameProblems);
  const { options, inputs } = job;
  const { video, audio } = inputs;
  if (!video || !audio) throw new LipsyncError('internal', 'The item was accepted without an input.');
  const given = typeof outputName === 'string' ? outputName : undefined;
  const clipPath = video.kind === 'url' ? new URL(video.url).pathname : '';
  return { type: 'valid', value: { options, video, audio, outputName: given ?? defaultOutputName(index, clipPath) } };
}

function parseJob(
  fields: ReadonlyMap<string, unknown>,
  rules: BodyRules<LipsyncOptions>,
  checks: UrlChecks,
): JobBody<LipsyncOptions> | InvalidItem {
  try {
    return parseJsonBody(fields, rules, checks);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const { code, fields: found, message: summary } = error;
    const isForbidden = code === 'url_forbidden';
    const isListed = isForbidden || code === 'request_invalid';
    // The other errors describe their one field in the text of the error.
    const named = found.length > 0 ? found : [{ field: '', message: summary }];
    const problems = named.map(({ field, message }) => ({ field, message: isListed ? message : summary }));
    return { type: 'invalid', problems, isForbidden };
  }
}

/** The receivers that the fields of a batch and of its items name, before they are parsed. */
export function listReceivers(fields: ReadonlyMap<string, unknown>): readonly unknown[] {
  const items = fields.get('items');
  const ofItems = Array.isArray(items) ? items.slice(0, maxBatchItems).filter(isPlainObject) : [];
  return [fields.get(webhookField), ...ofItems.map((item) => item[webhookField])];
}
