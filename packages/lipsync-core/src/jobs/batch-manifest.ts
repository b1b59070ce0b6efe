import { CsvError, parse } from 'csv-parse/sync';
import { readFormValues } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { maxBatchItems } from './batch-names.ts';

const maxManifestBytes = 4 * 1_048_576;
const maxCellBytes = 65_536;

/** A row of a manifest: the fields of a request, by name, in HTTP spelling. An empty cell is no field. */
export interface ManifestRow {
  /** Line of the file on which the row ends. */
  readonly line: number;
  readonly fields: ReadonlyMap<string, unknown>;
}

/**
 * Parses a CSV manifest of a batch: a row of names, then a row for each item. Numbers, booleans and JSON are written as in
 * a form. Separators are commas, or semicolons as some spreadsheets write them. Throws `request_invalid` for text that is
 * no CSV, a name that occurs twice, a missing column of `required`, no row or more rows than a batch may have. Pure.
 */
export function parseManifest(bytes: Uint8Array, required: readonly string[]): readonly ManifestRow[] {
  if (bytes.length > maxManifestBytes) throw refusal(`is larger than ${maxManifestBytes} bytes`);
  const [header, ...rows] = readRows(decode(bytes));
  if (!header) throw refusal('is empty');
  const names = header.cells.map((name) => name.trim());
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw refusal(`has the column "${twice}" twice`);
  const missing = required.filter((name) => !names.includes(name));
  if (missing.length > 0) throw refusal(`lacks the column ${missing.map((name) => `"${name}"`).join(' and ')}`);
  if (rows.length === 0) throw refusal('has no items');
  if (rows.length > maxBatchItems) throw refusal(`has more than ${maxBatchItems} items`);
  return rows.map(({ line, cells }) => {
    const given = names.map((name, index) => [name, cells[index] ?? ''] as const).filter(([, text]) => text !== '');
    return { line, fields: readFormValues(new Map(given)) };
  });
}

interface Row {
  readonly line: number;
  readonly cells: readonly string[];
}

function readRows(text: string): readonly Row[] {
  let completeLines = 0;
  try {
    // `as`: the types of the package do not depend on `info`.
    const records = parse(text, {
      bom: true,
      info: true,
      skip_empty_lines: true,
      delimiter: separatorOf(text),
      // By default every line must end as the first one does; otherwise its last value keeps a carriage return.
      record_delimiter: ['\r\n', '\n', '\r'],
      max_record_size: maxCellBytes,
      onRecord: (record, { lines }) => {
        completeLines = lines;
        return record;
      },
    }) as unknown as { readonly record: readonly string[]; readonly info: { readonly lines: number } }[];
    return records.map(({ record, info }) => ({ line: info.lines, cells: record }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = error.code === 'CSV_QUOTE_NOT_CLOSED' ? completeLines + 1 : error.lines;
    throw refusal(reasons.get(error.code)?.(line) ?? `is no CSV: ${error.message}`, error);
  }
}

const reasons: ReadonlyMap<string, (line: unknown) => string> = new Map([
  ['CSV_QUOTE_NOT_CLOSED', (line) => `has a quote that is never closed, on line ${line} or later`],
  ['CSV_RECORD_INCONSISTENT_FIELDS_LENGTH', describeLength],
  ['CSV_RECORD_INCONSISTENT_COLUMNS', describeLength],
  ['CSV_MAX_RECORD_SIZE', (line) => `has a row of more than ${maxCellBytes} bytes on line ${line}`],
]);

function describeLength(line: unknown): string {
  return `has a row on line ${line} whose number of columns differs from that of the first row`;
}

function separatorOf(text: string): ',' | ';' {
  const [header = ''] = /[^\r\n\uFEFF]+/.exec(text) ?? [];
  return header.includes(';') && !header.includes(',') ? ';' : ',';
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw refusal('is not UTF-8', cause);
  }
}

function refusal(problem: string, cause?: unknown): LipsyncError {
  return new LipsyncError('request_invalid', `The manifest ${problem}.`, cause === undefined ? {} : { cause });
}
