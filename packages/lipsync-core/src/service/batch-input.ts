import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  lipsyncFields,
  parseRequest,
  type FieldProblem,
  type LipsyncOptions,
  type LipsyncOptionsInput,
} from '../contract/index.ts';
import { LipsyncError, toLipsyncError } from '../errors/index.ts';
import { defaultOutputName, findEqualNames, findNameProblem, maxBatchItems } from '../jobs/batch-names.ts';
import type { OutputProblem } from './local-batches.ts';
import type { LocalJobInput } from './local-jobs.ts';
import { isUrl, requireReadable, type OptionsSchema } from './parse-input.ts';

/** An item of a batch: two inputs, each a path, or an http(s) or s3 URL, and options that the batch does not set. */
export type BatchItemInput = LipsyncOptionsInput & {
  readonly videoPath: string;
  readonly audioPath: string;
  /** File name in the output folder; by default `0001-<clip>.mp4`. */
  readonly outputName?: string;
};

/**
 * Up to 500 items, the folder of their outputs, and options for all items. `optimize` is `cost` by default, and
 * `maxCostUsd` limits the cost of all items together.
 */
export type BatchGenerateLipsyncInput = LipsyncOptionsInput & {
  readonly items: readonly BatchItemInput[];
  readonly outputDir: string;
  /** Replaces existing outputs. Without it, a batch with such an output is refused. */
  readonly overwrite?: boolean;
};

/** A problem with one item of a batch, counted from 0. */
export interface BatchProblem extends FieldProblem {
  readonly item: number;
}

/** A batch that was refused as a whole; nothing was started. */
export class BatchProblemsError extends LipsyncError {
  readonly problems: readonly BatchProblem[];

  constructor(problems: readonly BatchProblem[]) {
    const listed = problems.map(({ item, field, message }) => `item ${item}: ${field} ${message}`);
    super('request_invalid', `The batch is invalid: ${listed.join('; ')}`);
    this.name = 'BatchProblemsError';
    this.problems = problems;
  }
}

/** An item before it is checked, under the names that the caller used. */
export interface GivenItem {
  readonly video: unknown;
  readonly audio: unknown;
  readonly outputName: unknown;
  readonly options: LipsyncOptions | undefined;
  readonly problems: readonly FieldProblem[];
}

export interface BatchRules {
  readonly outputDir: string;
  readonly overwrite: boolean;
  /** Names of the fields in problems. */
  readonly names: { readonly video: string; readonly audio: string; readonly outputName: string };
  /** Throws for options that this installation cannot serve. */
  checkOptions(options: LipsyncOptions): void;
}

/** Checks the items of a batch. Throws a `BatchProblemsError` with the problems of all items. */
export async function checkItems(given: readonly GivenItem[], rules: BatchRules): Promise<readonly LocalJobInput[]> {
  const checked = await Promise.all(given.map(async (item) => ({ item, problems: await findProblems(item, rules) })));
  const names = given.map(({ outputName, video }, index) =>
    typeof outputName === 'string' ? outputName : defaultOutputName(index, clipPath(video)),
  );
  const problems: readonly BatchProblem[] = [
    ...checked.flatMap(({ problems: found }, item) => found.map((problem) => ({ ...problem, item }))),
    ...findEqualNames(names).map((problem) => ({ ...problem, field: rules.names.outputName })),
  ];
  if (problems.length > 0) throw new BatchProblemsError(problems);
  return given.map(({ video, audio, options }, index) => {
    if (!options || typeof video !== 'string' || typeof audio !== 'string')
      throw new LipsyncError('internal', 'The item was accepted without an input.');
    const outputPath = join(resolve(rules.outputDir), names[index] ?? '');
    return { videoPath: toSource(video), audioPath: toSource(audio), outputPath, overwrite: rules.overwrite, options };
  });
}

const toSource = (source: string): string => (isUrl(source) ? source : resolve(source));

function clipPath(video: unknown): string {
  if (typeof video !== 'string') return '';
  return isUrl(video) ? (URL.parse(video)?.pathname ?? '') : video;
}

async function findProblems(item: GivenItem, rules: BatchRules): Promise<readonly FieldProblem[]> {
  const { names } = rules;
  const nameProblem = findNameProblem(item.outputName);
  return [
    ...(await findInputProblem(names.video, item.video)),
    ...(await findInputProblem(names.audio, item.audio)),
    ...(nameProblem === undefined ? [] : [{ field: names.outputName, message: nameProblem }]),
    ...item.problems,
    ...(item.options ? findOptionProblem(item.options, rules) : []),
  ];
}

async function findInputProblem(field: string, value: unknown): Promise<readonly FieldProblem[]> {
  if (value === undefined) return [{ field, message: 'is missing' }];
  const problem = { field, message: 'must be a path, or an http(s) or s3 URL' };
  if (typeof value !== 'string' || value === '') return [problem];
  if (isUrl(value)) return /^(?:https?|s3):/i.test(value) ? [] : [problem];
  try {
    await requireReadable(value, field);
    return [];
  } catch {
    return [{ field, message: `names the file "${value}", which does not exist or cannot be read` }];
  }
}

/** Messages of these checks are sentences of their own. */
function findOptionProblem(options: LipsyncOptions, { checkOptions }: BatchRules): readonly FieldProblem[] {
  try {
    checkOptions(options);
    return [];
  } catch (error) {
    return [{ field: 'options', message: `are refused: ${toLipsyncError(error).message}` }];
  }
}

/** Returns a check that throws a `BatchProblemsError` for outputs that exist or cannot be written. */
export function refuseOutputs(field: string): (problems: readonly OutputProblem[]) => void {
  return (problems) => {
    if (problems.length === 0) return;
    throw new BatchProblemsError(
      problems.map(({ item, error }) => ({ item, field, message: `is refused: ${error.message}` })),
    );
  };
}

const batchSchema = z.object({
  items: z.array(z.record(z.string(), z.unknown())).min(1, 'must not be empty').max(maxBatchItems),
  outputDir: z.string().min(1),
  overwrite: z.boolean().default(false),
  maxCostUsd: lipsyncFields.maxCostUsd,
});

export interface ParsedBatch {
  readonly items: readonly GivenItem[];
  readonly outputDir: string;
  readonly overwrite: boolean;
  readonly maxCostUsd: number | undefined;
}

/** Parses the batch of a program. Throws `request_invalid` for the batch itself; items keep their problems. */
export function parseBatchInput(input: unknown, optionsSchema: OptionsSchema): ParsedBatch {
  const batch = parseRequest(batchSchema, input);
  if (batch.type === 'invalid') {
    const listed = batch.problems.map(({ path, message }) => `${path.join('.')} ${message}`);
    throw new LipsyncError('request_invalid', `The batch is invalid: ${listed.join('; ')}`);
  }
  const { items, outputDir, overwrite, maxCostUsd } = batch.value;
  const { items: _, outputDir: _dir, overwrite: _over, maxCostUsd: _cap, ...common } = Object(input);
  const given = items.map(({ videoPath, audioPath, outputName, ...own }): GivenItem => {
    const parsed = parseRequest(optionsSchema, { optimize: 'cost', ...common, ...own });
    const problems = parsed.type === 'invalid' ? parsed.problems : [];
    return {
      video: videoPath,
      audio: audioPath,
      outputName,
      options: parsed.type === 'valid' ? parsed.value : undefined,
      problems: problems.map(({ path, message }) => ({ field: path.join('.'), message })),
    };
  });
  return { items: given, outputDir, overwrite, maxCostUsd };
}
