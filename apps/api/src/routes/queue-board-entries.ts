import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { isTerminal, listProviderIds, nameOfInput, type JobRecord, type JobStore } from '@lipsync/core/host';
import type { LipsyncQueueHandle } from '@lipsync/queue';

type Entry = Awaited<ReturnType<BullMQAdapter['getJobs']>>[number];

export interface RecordedQueueOptions {
  readonly store: Pick<JobStore, 'get'>;
  readonly displayName: string;
  readonly description: string;
}

/**
 * A queue whose entries show what the record of their job holds: a queue entry itself contains only the id of the job, so
 * that nothing about a person stays behind when the record is erased.
 */
export class RecordedQueueAdapter extends BullMQAdapter {
  readonly #store: Pick<JobStore, 'get'>;

  constructor(queue: LipsyncQueueHandle, { store, displayName, description }: RecordedQueueOptions) {
    super(queue, { readOnlyMode: true, displayName, description });
    this.#store = store;
  }

  override async getJob(id: string): Promise<Entry | undefined> {
    const entry = await super.getJob(id);
    return entry && this.#describe(entry);
  }

  override async getJobs(...query: Parameters<BullMQAdapter['getJobs']>): Promise<Entry[]> {
    const entries = await super.getJobs(...query);
    return Promise.all(entries.map((entry) => this.#describe(entry)));
  }

  override async getJobLogs(id: string): Promise<string[]> {
    const record = await this.#read(id);
    return record ? listLogLines(record) : [];
  }

  async #describe(entry: Entry): Promise<Entry> {
    const record = await this.#read(entry.id);
    if (!record) return entry;
    const described = {
      name: nameEntry(record),
      progress: record.progress,
      data: { ...entry.data, ...summarize(record) },
    };
    const toJSON = (): object => ({ ...entry.toJSON(), ...described });
    // A copy that inherits the rest, because the board also calls the methods of an entry.
    return Object.create(entry, { toJSON: { value: toJSON } });
  }

  /** A record that cannot be read must not keep an operator from the others. */
  async #read(id: string | undefined): Promise<JobRecord | undefined> {
    return id === undefined ? undefined : this.#store.get(id).catch(() => undefined);
  }
}

/** Clip, provider plan, and what the job waits for or how it ended; an entry stays in a queue that its job has left. */
function nameEntry(record: JobRecord): string {
  const plan = record.kind === 'lipsync' && record.plan ? [listProviderIds(record.plan).join(' → ')] : [];
  const state = record.stage === 'waiting' ? record.message : record.status;
  return [describeWork(record), ...plan, state].join(' · ');
}

function describeWork(record: JobRecord): string {
  switch (record.kind) {
    case 'lipsync':
      return nameOfInput(record.spec.video);
    case 'quality':
      return `quality of ${nameOfInput(record.spec.video)}`;
    case 'webhook':
      return `${record.spec.event} of ${record.spec.subjectId}`;
    case 'batch':
      return record.kind;
  }
}

function summarize({ status, stage, message, owner, parkedUntilMs, deadlineAtMs, batch }: JobRecord): object {
  return {
    status,
    stage,
    message,
    key: owner,
    ...(batch && { batch: batch.id }),
    ...(parkedUntilMs !== null && { runsAgainAt: toTime(parkedUntilMs) }),
    ...(deadlineAtMs !== null && { deadline: toTime(deadlineAtMs) }),
  };
}

function listLogLines(record: JobRecord): string[] {
  const { createdAtMs, startedAtMs, completedAtMs, requestId, warnings, error } = record;
  const attempts = record.kind === 'lipsync' ? record.attempts : [];
  return [
    `${toTime(createdAtMs)} accepted${requestId === null ? '' : ` by request ${requestId}`}`,
    ...(startedAtMs === null
      ? []
      : [`${toTime(startedAtMs)} started (runs: ${record.runs}, crashes: ${record.crashes})`]),
    ...attempts.map(({ provider, startedAtMs: atMs, outcome, code, message }) =>
      [`${toTime(atMs)} ${provider}: ${outcome}`, ...[code, message].filter((part) => part !== null)].join(' '),
    ),
    ...listTries(record),
    ...warnings.map(({ code, message }) => `warning ${code}: ${message}`),
    ...(error ? [`error ${error.code}: ${error.message}`] : []),
    completedAtMs !== null && isTerminal(record.status)
      ? `${toTime(completedAtMs)} ${record.status}`
      : `now: ${record.stage}, ${record.progress} %: ${record.message}`,
  ];
}

function listTries(record: JobRecord): string[] {
  if (record.kind !== 'webhook') return [];
  return record.tries.map(({ atMs, status, reason }) => `${toTime(atMs)} ${reason ?? `delivered: ${status ?? ''}`}`);
}

function toTime(ms: number): string {
  return new Date(ms).toISOString();
}
