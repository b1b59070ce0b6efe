import { jobStatuses } from '../contract/index.ts';
import { UnreadableRecordError } from '../errors/index.ts';
import { jobKinds, type JobRecord } from './job-record.ts';
import { currentRecordFormat, migrateRecord } from './record-migrations.ts';

/** A job record as stores keep it. */
export interface EncodedJobRecord {
  readonly format: string;
  /** JSON. */
  readonly text: string;
}

export function encodeJobRecord(record: JobRecord): EncodedJobRecord {
  return { format: String(currentRecordFormat), text: JSON.stringify(record) };
}

/**
 * Reads a stored record of any format that this version can migrate. Throws `UnreadableRecordError` for a newer
 * format, for text that is not JSON and for a record without its essential fields.
 */
export function decodeJobRecord({ format, text }: EncodedJobRecord): JobRecord {
  const migrated = migrateRecord(Number(format), parseObject(text));
  if (migrated === undefined) {
    throw new UnreadableRecordError(
      `The job is stored in format ${format}, which this version of the service cannot read. ` +
        'Processes of the version that stored it can.',
      { isNewer: Number(format) > currentRecordFormat },
    );
  }
  if (!isJobRecord(migrated)) throw unreadable();
  return migrated;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // Reported below, as text that holds another kind of JSON.
  }
  throw unreadable();
}

/** Checks the fields without which nothing can be done with a record; only our own code writes the others. */
function isJobRecord(value: object): value is JobRecord {
  const record: Readonly<Record<string, unknown>> = { ...value };
  return (
    typeof record['id'] === 'string' &&
    typeof record['revision'] === 'number' &&
    typeof record['createdAtMs'] === 'number' &&
    isOneOf(jobStatuses, record['status']) &&
    isOneOf(jobKinds, record['kind']) &&
    typeof record['spec'] === 'object' &&
    (record['kind'] !== 'lipsync' || Array.isArray(record['attempts'])) &&
    (record['kind'] !== 'webhook' || Array.isArray(record['tries']))
  );
}

function isOneOf(values: readonly string[], value: unknown): boolean {
  return typeof value === 'string' && values.includes(value);
}

function unreadable(): UnreadableRecordError {
  return new UnreadableRecordError('The stored record of the job is damaged and cannot be read.', { isNewer: false });
}
