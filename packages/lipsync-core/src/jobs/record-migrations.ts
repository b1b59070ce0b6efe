import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import { migrateAttempt, type Attempt } from '../providers/attempt.ts';
import { toPlanStep, type ExecutionPlan } from '../scheduling/execution-plan.ts';

/** A record in the shape of some format, as parsed JSON. */
export type StoredRecord = Readonly<Record<string, unknown>>;

type Migration = (record: StoredRecord) => StoredRecord;

/**
 * Steps between formats: the first one makes format 2 of format 1, and so on. To change the shape of a record, append a
 * step here and add a fixture of the format before it to `test/jobs/record-fixtures`.
 */
const migrations: readonly Migration[] = [addLanes, addPlan, addKind];

/** Format of the records that this version writes. */
export const currentRecordFormat = migrations.length + 1;

/** Returns a record of format `format` in the current format; undefined for a format that this version cannot read. */
export function migrateRecord(format: number, record: StoredRecord): StoredRecord | undefined {
  if (!Number.isInteger(format) || format < 1 || format > currentRecordFormat) return undefined;
  return migrations.slice(format - 1).reduce((migrated, migrate) => migrate(migrated), record);
}

/** The oldest records of format 1 lack what the first jobs without a remote provider did not need. */
function addLanes(record: StoredRecord): StoredRecord {
  const { attempts, options, ...rest } = record;
  return {
    parkedUntilMs: null,
    needs: null,
    ...rest,
    options: { heygenMode: 'speed', ...toObject(options) },
    attempts: toObjects(attempts).map((attempt) => ({ operationAtMs: null, troubles: 0, ...attempt })),
  };
}

function addPlan(record: StoredRecord): StoredRecord {
  return { plan: null, ...record };
}

/** Plans were lists of provider ids. */
function toPlan(plan: unknown, options: unknown): ExecutionPlan | null {
  if (!Array.isArray(plan)) return null;
  const { maxCostUsd } = toObject(options);
  const cap = typeof maxCostUsd === 'number' ? { maxCostUsd } : {};
  // `as`: earlier versions stored only ids of `contract/vocabulary`.
  return (plan as ProviderId[]).map((id) => toPlanStep({ id, kind: id === 'heygen' ? 'remote' : 'inline' }, cap));
}

/** Format 3 lacks `outputMs` in its oldest records, and some of its results still carry the cost of the job. */
function addKind({ options, video, audio, result, attempts, ...rest }: StoredRecord): StoredRecord {
  const { costMicros: _, ...kept } = toObject(result);
  return {
    outputMs: null,
    traceparent: null,
    requestId: null,
    ...rest,
    kind: 'lipsync',
    plan: toPlan(rest['plan'], options),
    spec: { options: migrateOptions(toObject(options)), video, audio },
    // `as`: only earlier versions of this service stored the attempts.
    attempts: toObjects(attempts).map((attempt) => migrateAttempt(attempt as unknown as Attempt)),
    result: result === null ? null : kept,
  };
}

/**
 * Request options of any format in the current one: format 3 kept the one provider option that existed in a field of
 * its own.
 */
function migrateOptions({ heygenMode = 'speed', ...options }: StoredRecord): StoredRecord {
  return { providerOptions: { heygen: { mode: heygenMode } }, ...options };
}

/**
 * Options in the form of format 3, from which keys of unfinished jobs are computed, so that a key stays what it was.
 */
export function toKeyedOptions({ providerOptions, ...options }: LipsyncOptions): object {
  const { heygen: { mode = 'speed', ...heygen } = {}, ...others } = providerOptions;
  const added = Object.entries({ heygen, ...others }).filter(([, values]) => Object.keys(values).length > 0);
  return {
    ...options,
    heygenMode: mode,
    ...(added.length === 0 ? {} : { providerOptions: Object.fromEntries(added) }),
  };
}

function toObject(value: unknown): StoredRecord {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function toObjects(value: unknown): readonly StoredRecord[] {
  return Array.isArray(value) ? value.map(toObject) : [];
}
