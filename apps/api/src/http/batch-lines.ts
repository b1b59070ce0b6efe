import { isPlainObject, parseJson } from '@lipsync/core/contract';
import { maxBatchItems } from '@lipsync/core/host';

/** Media types of a batch with one item per line. */
export const lineTypes = ['application/x-ndjson', 'application/jsonl'] as const;

/** As for the JSON body of a single job. */
const maxLineBytes = 65_536;

/** A line that is no item; `problem` is for the caller. */
export class InvalidLine {
  readonly problem: string;

  constructor(problem: string) {
    this.problem = problem;
  }
}

/**
 * Parses lines of JSON into the fields of a batch: each line is an item, and a first line `{"batch": {…}}` has the fields
 * for all items. Empty lines do not count. A line that cannot be used becomes an `InvalidLine`, so that the caller can
 * list all problems at once. Stops after the first line that is too many. Pure.
 */
export function parseBatchLines(text: string): Record<string, unknown> {
  const values: unknown[] = [];
  for (const [line] of text.matchAll(/[^\r\n]+/g)) {
    if (line.trim() !== '') values.push(parseLine(line));
    // The first line may be that of the batch.
    if (values.length > maxBatchItems + 1) break;
  }
  const [first] = values;
  if (!isPlainObject(first) || !Object.hasOwn(first, 'batch')) return { items: values };
  const items = values.slice(1);
  const { batch, ...others } = first;
  if (!isPlainObject(batch) || Object.hasOwn(batch, 'items') || Object.keys(others).length > 0)
    return { batch: new InvalidLine('must be an object of fields for all items, alone in its line'), items };
  return { ...batch, items };
}

function parseLine(line: string): unknown {
  if (Buffer.byteLength(line) > maxLineBytes) return new InvalidLine(`must be at most ${maxLineBytes} bytes long`);
  try {
    return parseJson(line);
  } catch {
    return new InvalidLine('must be one line of valid JSON');
  }
}
