import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  abortError,
  checkUrl,
  createIdSource,
  InputNotFoundError,
  isTerminal,
  LipsyncError,
  parseLipsyncOptions,
  systemClock,
  TimeoutError,
  undecidedStart,
  type AllowedPrivateHosts,
  type ArtifactStore,
  type InputReference,
  type JobRecord,
  type Logger,
} from '@lipsync/core';
import type { LipsyncOptionsInput } from '@lipsync/core/contract';
import { createClientConnection } from './connection.ts';
import { createRedisJobWatcher } from './job-watcher.ts';
import { createProducer } from './lipsync-producer.ts';
import { createQueuedJobs, type QueuedJobs } from './queued-jobs.ts';
import { createRedisJobStore } from './redis-job-store.ts';

export interface LipsyncQueueOptions {
  readonly redisUrl: string;
  /** The store that the workers read; local files are put into it. */
  readonly artifacts: ArtifactStore;
  readonly maxInputBytes: number;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  readonly logger: Logger;
}

/** One clip and one speech, each as a local file or a URL, and any of the options that the HTTP interface takes. */
export type EnqueueInput = LipsyncOptionsInput &
  ({ readonly videoPath: string } | { readonly videoUrl: string }) &
  ({ readonly audioPath: string } | { readonly audioUrl: string });

/** Hands lip-sync work to the queue from a program. */
export interface LipsyncQueue {
  /**
   * Stores local files, records the job and queues it; a worker plans it, and ends it as `not_supported` where its method
   * is not configured. Throws `request_invalid`, `url_forbidden`, `InputNotFoundError`, `payload_too_large` and
   * `resource_exhausted`.
   */
  enqueue(input: EnqueueInput, context?: { readonly signal?: AbortSignal }): Promise<{ readonly id: string }>;
  /**
   * The record once the job is at its end, whichever end. Throws `TimeoutError` (`deadline_exceeded`) when that takes
   * longer than `timeoutMs` — the job goes on — and `not_found`.
   */
  waitFor(id: string, context: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<JobRecord>;
  /** As `QueuedJobs.cancel`. */
  cancel(id: string): Promise<JobRecord>;
  get(id: string): Promise<JobRecord | undefined>;
  /** Lets go of Redis. Queued jobs stay queued. */
  close(): Promise<void>;
}

export function createLipsyncQueue(options: LipsyncQueueOptions): LipsyncQueue {
  const { logger, redisUrl: url } = options;
  const onError = (error: Error): void => logger.warn({ error }, 'connection to Redis lost');
  const connection = createClientConnection({ url, onError });
  const listening = createClientConnection({ url, onError });
  const store = createRedisJobStore({ connection });
  const producer = createProducer({ connection, store, clock: systemClock, logger });
  const watcher = createRedisJobWatcher({ connection: listening });
  const jobs = createQueuedJobs({
    store,
    producer,
    watcher,
    clock: systemClock,
    ids: createIdSource(systemClock),
    planJob: () => undecidedStart,
  });
  return {
    enqueue: (input, context = {}) => enqueue(options, jobs, input, context.signal),
    waitFor: (id, context) => waitFor(jobs, id, context),
    cancel: (id) => jobs.cancel(id),
    get: (id) => store.get(id),
    async close() {
      await producer.close();
      connection.disconnect();
      listening.disconnect();
    },
  };
}

async function enqueue(
  options: LipsyncQueueOptions,
  jobs: QueuedJobs,
  input: EnqueueInput,
  signal?: AbortSignal,
): Promise<{ readonly id: string }> {
  const { videoPath, videoUrl, audioPath, audioUrl, ...rest } = spread(input);
  const parsed = parseLipsyncOptions(rest);
  const sources = [parseSource('video', videoPath, videoUrl), parseSource('audio', audioPath, audioUrl)] as const;
  for (const source of sources) await checkSource(source, options);
  const video = await toReference(sources[0], options, signal);
  const audio = await toReference(sources[1], options, signal);
  const { id } = await jobs.submit({ video, audio, options: parsed, owner: null });
  return { id };
}

/** The union's members side by side, so that what callers without types left out or doubled can be seen. */
function spread(
  input: EnqueueInput,
): LipsyncOptionsInput & Partial<Record<'videoPath' | 'videoUrl' | 'audioPath' | 'audioUrl', string>> {
  return input;
}

type Source = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'url'; readonly url: string };

function parseSource(name: 'video' | 'audio', path: string | undefined, url: string | undefined): Source {
  if (path !== undefined && url === undefined) return { kind: 'file', path };
  if (url !== undefined && path === undefined) return { kind: 'url', url };
  throw new LipsyncError('request_invalid', `Give exactly one of ${name}Path and ${name}Url.`);
}

/** Before anything is stored, so that a second input that cannot be read does not leave the first behind. */
async function checkSource(source: Source, { allowedPrivateHosts }: LipsyncQueueOptions): Promise<void> {
  if (source.kind === 'url') {
    checkUrl(source.url, allowedPrivateHosts);
    return;
  }
  const message = `${source.path} is not a file that can be read. Check the path.`;
  try {
    await access(source.path, constants.R_OK);
    if ((await stat(source.path)).isFile()) return;
  } catch (error) {
    throw new InputNotFoundError(message, { cause: error });
  }
  // A folder, or a pipe that might never end.
  throw new InputNotFoundError(message);
}

async function toReference(
  source: Source,
  { artifacts, maxInputBytes }: LipsyncQueueOptions,
  signal?: AbortSignal,
): Promise<InputReference> {
  if (source.kind === 'url') return source;
  const { key } = await artifacts.putInput(createReadStream(source.path), {
    maxBytes: maxInputBytes,
    ...(signal ? { signal } : {}),
  });
  return { kind: 'artifact', key, name: basename(source.path) };
}

async function waitFor(
  jobs: QueuedJobs,
  id: string,
  context: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<JobRecord> {
  const { timeoutMs, signal } = context;
  const timeLimit = AbortSignal.timeout(timeoutMs);
  for await (const record of jobs.watch(id, signal ? AbortSignal.any([signal, timeLimit]) : timeLimit)) {
    if (isTerminal(record.status)) return record;
  }
  if (signal?.aborted) throw abortError(signal);
  throw new TimeoutError(
    'deadline_exceeded',
    `Job ${id} was not at its end after ${timeoutMs} ms. It goes on: wait again, or cancel it.`,
  );
}
