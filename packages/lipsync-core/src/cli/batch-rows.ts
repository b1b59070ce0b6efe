import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { InputNotFoundError, LipsyncError } from '../errors/index.ts';
import { parseManifest, type ManifestRow } from '../jobs/batch-manifest.ts';
import { BatchProblemsError, checkItems, type BatchRules, type GivenItem } from '../service/batch-input.ts';
import type { LocalJobInput } from '../service/local-jobs.ts';
import { isUrl } from '../service/parse-input.ts';
import { invalidFlags, UsageError, type FlagProblem } from './usage-error.ts';

/** Columns of a manifest. */
export const rowNames = { video: 'video', audio: 'audio', outputName: 'output_name' };

/** Reads a manifest. Throws a `UsageError` for one that is no list of items. */
export async function readManifest(path: string): Promise<readonly ManifestRow[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new InputNotFoundError(`The manifest "${path}" does not exist or cannot be read.`, { cause });
  });
  try {
    return parseManifest(bytes, ['video', 'audio']);
  } catch (error) {
    throw error instanceof LipsyncError ? new UsageError(error.message) : error;
  }
}

/** Returns the columns of a row that are fields of a request. */
export function ownFields({ fields }: ManifestRow): Record<string, unknown> {
  const { video: _video, audio: _audio, output_name: _name, ...own } = Object.fromEntries(fields);
  return own;
}

export interface RowRules extends Omit<BatchRules, 'names'> {
  readonly manifest: string;
  /** Parses the fields of a row. */
  parse(own: Readonly<Record<string, unknown>>): Pick<GivenItem, 'options' | 'problems'>;
}

/** Checks all rows. Throws a `UsageError` that names every problem by its line. */
export async function checkRows(
  rows: readonly ManifestRow[],
  { manifest, parse, ...rules }: RowRules,
): Promise<readonly LocalJobInput[]> {
  const folder = dirname(resolve(manifest));
  const toSource = (value: unknown): unknown =>
    typeof value === 'string' && !isUrl(value) ? resolve(folder, value) : value;
  const items = rows.map((row): GivenItem => {
    const { fields } = row;
    const [video, audio] = [toSource(fields.get('video')), toSource(fields.get('audio'))];
    return { video, audio, outputName: fields.get('output_name'), ...parse(ownFields(row)) };
  });
  return namingLines(rows, () => checkItems(items, { ...rules, names: rowNames }));
}

/** Runs `work`; problems of items become a `UsageError` that names their lines. */
export async function namingLines<Result>(rows: readonly ManifestRow[], work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BatchProblemsError)) throw error;
    throw invalidFlags(error.problems.map(({ item, ...problem }) => toLineProblem(rows, item, problem)));
  }
}

/** The problem of an item under the line of its row. */
export function toLineProblem(
  rows: readonly ManifestRow[],
  item: number,
  { field, message }: { readonly field: string; readonly message: string },
): FlagProblem {
  const lineOf = (index: number): number => rows[index]?.line ?? 0;
  return {
    flag: `line ${lineOf(item)}: ${field}`,
    message: message.replace(/ of item (\d+)$/, (_, other: string) => ` of line ${lineOf(Number(other))}`),
  };
}
