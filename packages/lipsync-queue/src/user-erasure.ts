import {
  jobKinds,
  LipsyncError,
  listPages,
  type Clock,
  type JobKind,
  type JobRecord,
  type JobStore,
  type LedgerPseudonyms,
  type LedgerUser,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { collectFailure } from './collect-failures.ts';
import { guardRedis } from './connection.ts';
import { rewriteDueKey } from './append-only-file.ts';
import type { ErasureState, JobErasure } from './job-erasure.ts';
import { erasingUsersKey } from './job-keys.ts';

const scopeSchema = z.strictObject({
  userId: z.string(),
  owner: z.string().optional(),
  isUserWithoutKey: z.boolean(),
});

export interface UserErasureOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly store: Pick<JobStore, 'list'>;
  readonly jobs: Pick<JobErasure, 'erase'>;
  readonly ledger: Pick<LedgerPseudonyms, 'replaceEverywhere'>;
  readonly clock: Clock;
}

const pageSize = 50;

/**
 * Erases all jobs of a user that exist when the erasure begins, and replaces the user in the ledger. The user is marked
 * first and the mark is deleted last, so that `resumeAll` finishes what a killed process began. Every call throws
 * `resource_exhausted` without Redis and `storage_unwritable` when a file cannot be deleted.
 */
export class UserErasure {
  readonly #options: UserErasureOptions;

  constructor(options: UserErasureOptions) {
    this.#options = options;
  }

  /** Erases until the signal aborts. `pending`: jobs still run, or the time was over; `resumeAll` continues. */
  async erase({ userId, owner, isUserWithoutKey }: LedgerUser, signal: AbortSignal): Promise<ErasureState> {
    const { connection, clock } = this.#options;
    const member = JSON.stringify({ userId, ...(owner !== undefined && { owner }), isUserWithoutKey });
    await guardRedis(() => connection.zadd(erasingUsersKey, 'GT', String(clock.nowMs()), member));
    return this.#continue(member, signal);
  }

  /**
   * Continues all erasures that have begun; returns the number of users whose erasure was finished. One that fails does
   * not keep the others from being finished; its error is thrown at the end.
   */
  async resumeAll(signal: AbortSignal): Promise<number> {
    const members = await guardRedis(() => this.#options.connection.zrange(erasingUsersKey, 0, '-1'));
    let erased = 0;
    const failures: unknown[] = [];
    for (const member of members) {
      if (signal.aborted) break;
      const state = await this.#continue(member, signal).catch((error: unknown) => void failures.push(error));
      if (state === 'erased') erased += 1;
    }
    if (failures.length > 0) throw failures[0];
    return erased;
  }

  async #continue(member: string, signal: AbortSignal): Promise<ErasureState> {
    const { connection, ledger } = this.#options;
    const requestedAt = await guardRedis(() => connection.zscore(erasingUsersKey, member));
    // Another process has finished it.
    if (requestedAt === null) return 'erased';
    const scope = parseScope(member);
    let isComplete = true;
    const failures: unknown[] = [];
    for (const kind of jobKinds) {
      if (!(await this.#eraseJobs(kind, scope, Number(requestedAt), { signal, failures }))) isComplete = false;
    }
    if (failures.length > 0) throw failures[0];
    if (!isComplete || signal.aborted) return 'pending';
    try {
      await ledger.replaceEverywhere(scope, signal);
    } catch (error) {
      if (signal.aborted) return 'pending';
      throw error;
    }
    // A request that arrived meanwhile has renewed the time and covers newer jobs.
    const removed = await guardRedis(() =>
      connection.eval(removeScript, 2, erasingUsersKey, rewriteDueKey, member, requestedAt),
    );
    return removed === 1 ? 'erased' : 'pending';
  }

  /** False if jobs are left. A job that fails does not stop the others; its error is added to `failures`. */
  async #eraseJobs(
    kind: JobKind,
    scope: LedgerUser,
    requestedAtMs: number,
    { signal, failures }: { readonly signal: AbortSignal; readonly failures: unknown[] },
  ): Promise<boolean> {
    const { store, jobs } = this.#options;
    const { userId, owner } = scope;
    const query = { kind, userId, ...(owner !== undefined && { owner }), toMs: requestedAtMs + 1, limit: pageSize };
    let isComplete = true;
    for await (const { records, unreadable } of listPages(store, query)) {
      if (signal.aborted) return false;
      const erase = ({ id }: JobRecord): Promise<ErasureState | undefined> =>
        jobs.erase(id).catch((error: unknown) => collectFailure(failures, error));
      const states = await Promise.all(records.map(erase));
      if (unreadable > 0 || states.some((state) => state !== 'erased')) isComplete = false;
    }
    return isComplete;
  }
}

/**
 * Removes a user unless its score has changed. KEYS: 1 set of users, 2 number of erasures that are not yet out of the
 * append-only file. ARGV: 1 member, 2 its expected score.
 */
const removeScript = `
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('INCR', KEYS[2])
return redis.call('ZREM', KEYS[1], ARGV[1])
`;

function parseScope(member: string): LedgerUser {
  const parsed = scopeSchema.safeParse(JSON.parse(member));
  if (!parsed.success) throw new LipsyncError('internal', 'A stored deletion of a user cannot be read.');
  const { owner, ...rest } = parsed.data;
  return { ...rest, ...(owner !== undefined && { owner }) };
}
