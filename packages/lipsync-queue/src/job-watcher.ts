import type { Redis } from 'ioredis';
import { toRedisError } from './connection.ts';
import { jobChannel } from './job-keys.ts';

/** Ends a subscription; may be called more than once. */
export type Unsubscribe = () => Promise<void>;

/** Says when a job's record has changed. */
export interface JobWatcher {
  /**
   * Calls `onChange` soon after each change of the job, and after a lost connection is back, since changes may have been
   * missed. Never says what changed: read the record. Throws `resource_exhausted` when Redis cannot be reached.
   */
  subscribe(jobId: string, onChange: () => void): Promise<Unsubscribe>;
}

/**
 * Listens on Redis' channels with a connection of its own, which can do nothing else meanwhile. The caller keeps and
 * ends the connection.
 */
export function createRedisJobWatcher({ connection }: { readonly connection: Redis }): JobWatcher {
  const listeners = new Map<string, Set<() => void>>();
  const notify = (channel: string): void => {
    for (const listener of listeners.get(channel) ?? []) listener();
  };
  connection.on('message', notify);
  connection.on('ready', () => {
    for (const channel of listeners.keys()) notify(channel);
  });

  async function remove(channel: string, listener: () => void): Promise<void> {
    const channelListeners = listeners.get(channel);
    if (!channelListeners?.delete(listener) || channelListeners.size > 0) return;
    listeners.delete(channel);
    // A connection that is gone has no subscriptions left to end.
    await connection.unsubscribe(channel).catch(() => undefined);
  }

  return {
    async subscribe(jobId, onChange) {
      const channel = jobChannel(jobId);
      // Wrapped, so that the same function subscribed twice counts twice.
      const listener = (): void => onChange();
      listeners.set(channel, (listeners.get(channel) ?? new Set()).add(listener));
      try {
        await connection.subscribe(channel);
      } catch (error) {
        await remove(channel, listener);
        throw toRedisError(error);
      }
      return () => remove(channel, listener);
    },
  };
}
