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

/** A manifest that was refused; each problem continues "The manifest". */
export class ManifestError extends LipsyncError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[], cause?: unknown) {
    super('request_invalid', `The manifest ${problems.join('; it ')}.`, cause === undefined ? {} : { cause });
    this.name = 'ManifestError';
    this.problems = problems;
  }
}

/**
 * Parses a CSV manifest of a batch: a row of names, then a row for each item. Numbers, booleans and JSON are written as in
 * a form. Separators are commas, or semicolons as some spreadsheets write them. Rows and columns without any content do not
 * count. Throws a `ManifestError` for text that is no CSV, a name that occurs twice, a missing column of `required`, no row
 * or more rows than a batch may have. Pure.
 */
export function parseManifest(bytes: Uint8Array, required: readonly string[]): readonly ManifestRow[] {
  if (bytes.length > maxManifestBytes) throw refusal(`is larger than ${maxManifestBytes} bytes`);
  const [header, ...rows] = readRows(decode(bytes));
  if (!header) throw refusal('is empty');
  const names = header.cells.map((name) => name.trim());
  const problems = findProblems(names, rows, required);
  if (problems.length > 0) throw new ManifestError(problems);
  return rows.map(({ line, cells }) => {
    const given = names.map((name, index) => [name, cells[index] ?? ''] as const).filter(([, text]) => text !== '');
    return { line, fields: readFormValues(new Map(given)) };
  });
}

function findProblems(names: readonly string[], rows: readonly Row[], required: readonly string[]): string[] {
  const quote = (found: readonly string[]): string => found.map((name) => `"${name}"`).join(' and ');
  const repeated = new Set(names.filter((name, index) => name !== '' && names.indexOf(name) !== index));
  const missing = required.filter((name) => !names.includes(name));
  const unnamed = rows.find(({ cells }) => names.some((name, index) => name === '' && cells[index] !== ''));
  return [
    ...[...repeated].map((name) => `has the column "${name}" twice`),
    ...(missing.length > 0 ? [`lacks the column ${quote(missing)}`] : []),
    ...(unnamed ? [`has a value in a column without a name, on line ${unnamed.line}`] : []),
    ...(rows.length === 0 ? ['has no items'] : []),
    ...(rows.length > maxBatchItems ? [`has more than ${maxBatchItems} items`] : []),
  ];
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
      // Spreadsheets write separators for rows that were cleared.
      skip_records_with_empty_values: true,
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

function refusal(problem: string, cause?: unknown): ManifestError {
  return new ManifestError([problem], cause);
}
