import { createHash } from 'node:crypto';
import type { LipsyncOptions } from '../contract/index.ts';
import type { ProviderPlan } from '../scheduling/execution-plan.ts';
import { isGone, thisProcess, type ProcessOwner } from '../processes/process-owner.ts';
import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import { migrateAttempt, type Attempt } from '../providers/attempt.ts';

/** A job as a program that was killed left it. */
export interface UnfinishedJob {
  readonly jobId: string;
  readonly options: LipsyncOptions;
  /** As in `JobRecord`. */
  readonly plan: ProviderPlan | null;
  /** Where its output was to be: something half-written may lie beside it. */
  readonly outputPath: string;
  readonly attempts: readonly Attempt[];
}

/**
 * Jobs of programs that end with them, remembered by what goes in: whoever asks for the same again after a kill goes on
 * with what was begun, and pays for no operation twice. Throws what the state store throws.
 */
export interface UnfinishedJobs {
  /** The job that was left unfinished under `key` by a process that is gone, taken over; else `fresh`. Either is remembered from now on. */
  takeUp(key: string, fresh: UnfinishedJob): Promise<UnfinishedJob>;
  /** Remembers how far the job is. */
  save(key: string, job: UnfinishedJob): Promise<void>;
  /** Leaves the job to whoever asks for the same next, this process too. */
  release(key: string, job: UnfinishedJob): Promise<void>;
  forget(key: string, jobId: string): Promise<void>;
  /** Hands each job that nobody will go on with any more to `end`, then forgets it. */
  endForgotten(
    end: (job: UnfinishedJob, remember: (attempts: readonly Attempt[]) => Promise<void>) => Promise<void>,
  ): Promise<void>;
  /** Whether the job's operation cannot be running any more: its process is gone, and it is long ago that it was heard of. */
  isOver(jobId: string): Promise<boolean>;
}

interface Memory extends UnfinishedJob {
  /** Null where the job was released. */
  readonly owner: ProcessOwner | null;
  readonly savedAtMs: number;
}

const keyPrefix = 'unfinished/';
const pageSize = 100;

/** As long as a vendor may know an operation by its idempotency key. */
const forgottenAfterMs = 24 * 3_600_000;

export interface UnfinishedJobsDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
  /** How long an operation may run after it was last heard of. */
  readonly operationMs: number;
}

export function createUnfinishedJobs({ state, clock, operationMs }: UnfinishedJobsDependencies): UnfinishedJobs {
  const isOld = ({ savedAtMs }: Memory): boolean => clock.nowMs() - savedAtMs >= forgottenAfterMs;
  const write = (path: string, memory: Memory | null): Promise<void> =>
    state.transact([path], () => ({ result: undefined, writes: new Map([[path, toJson(memory)]]) }));
  const remember = (key: string, job: UnfinishedJob, owner: ProcessOwner | null): Promise<void> =>
    write(pathOf(key, job.jobId), {
      jobId: job.jobId,
      options: job.options,
      plan: job.plan,
      outputPath: job.outputPath,
      attempts: job.attempts,
      owner,
      savedAtMs: clock.nowMs(),
    });

  /** Makes this process the owner, unless another took the job over since `seen`. */
  async function claim(path: string, seen: Memory): Promise<boolean> {
    const owner = await thisProcess();
    return state.transact([path], (documents) => {
      const memory = toMemory(documents.get(path));
      if (!memory || JSON.stringify(memory.owner) !== JSON.stringify(seen.owner)) return { result: false };
      return { result: true, writes: new Map([[path, toJson({ ...memory, owner })]]) };
    });
  }

  return {
    async takeUp(key, fresh) {
      for await (const { path, memory } of memories(state, `${keyPrefix}${key}/`)) {
        if (isOld(memory) || !isWorthGoingOn(memory) || !(await isLeft(memory)) || !(await claim(path, memory)))
          continue;
        return memory;
      }
      await remember(key, fresh, await thisProcess());
      return fresh;
    },
    save: async (key, job) => remember(key, job, await thisProcess()),
    release: (key, job) => remember(key, job, null),
    forget: (key, jobId) => write(pathOf(key, jobId), null),
    async endForgotten(end) {
      for await (const { path, memory } of memories(state, keyPrefix)) {
        if (isWorthGoingOn(memory) && !isOld(memory)) continue;
        if (!(await isLeft(memory)) || !(await claim(path, memory))) continue;
        const owner = await thisProcess();
        await end(memory, (attempts) => write(path, { ...memory, attempts, owner }));
        await write(path, null);
      }
    },
    async isOver(jobId) {
      for await (const { memory } of memories(state, keyPrefix)) {
        if (memory.jobId !== jobId) continue;
        return clock.nowMs() - memory.savedAtMs >= operationMs && (await isLeft(memory));
      }
      return true;
    },
  };
}

/** Something runs elsewhere for it, or a take is there to be fetched. */
function isWorthGoingOn({ attempts }: Memory): boolean {
  const outcome = attempts.at(-1)?.outcome;
  return outcome === 'running' || outcome === 'succeeded';
}

async function isLeft({ owner }: Memory): Promise<boolean> {
  return owner === null || isGone(owner);
}

async function* memories(
  state: StateStore,
  prefix: string,
): AsyncGenerator<{ readonly path: string; readonly memory: Memory }> {
  let after: string | undefined;
  do {
    const page = await state.list(prefix, { limit: pageSize, ...(after === undefined ? {} : { after }) });
    for (const { key: path, document } of page) {
      const memory = toMemory(document);
      if (memory) yield { path, memory };
    }
    after = page.length < pageSize ? undefined : page.at(-1)?.key;
  } while (after !== undefined);
}

function pathOf(key: string, jobId: string): string {
  return `${keyPrefix}${key}/${jobId}`;
}

// `as` in both: only this file writes these documents, and memories are JSON throughout, as stored records are.
function toJson(memory: Memory | null): Json {
  return memory as unknown as Json;
}

function toMemory(document: Json | undefined): Memory | undefined {
  const memory = document as unknown as Memory | undefined;
  return memory && { ...memory, attempts: memory.attempts.map(migrateAttempt) };
}

/** What a job's memory is kept under: the same inputs and the same wishes. */
export function unfinishedJobKey(
  inputs: { readonly clipDigest: string; readonly speechDigest: string },
  options: LipsyncOptions,
): string {
  const wishes = JSON.stringify(Object.entries(options).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  return createHash('sha256').update(`${inputs.clipDigest} ${inputs.speechDigest} ${wishes}`).digest('hex');
}
