import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  abortError,
  checkSourceUrl,
  createIdSource,
  createArtifactStore,
  InputNotFoundError,
  isTerminal,
  LipsyncError,
  parseAllowedHosts,
  parseLipsyncOptions,
  requireKind,
  silentLogger,
  TimeoutError,
  undecidedStart,
  type SourceRules,
  type ArtifactStore,
  type InputReference,
  type JobRecord,
  type Logger,
} from '@lipsync/core/host';
import { configFromEnvironment, type CoreConfig } from '@lipsync/core/config';
import type { LipsyncOptionsInput } from '@lipsync/core/contract';
import { RedisJobNotifications } from './job-notifications.ts';
import { IdempotencyKeys } from './idempotency-keys.ts';
import { LipsyncProducer } from './lipsync-producer.ts';
import { QueuedJobs } from './queued-jobs.ts';
import { RedisConnections } from './redis-connections.ts';
import { RedisResultCache } from './redis-result-cache.ts';
import { RedisJobStore } from './redis-job-store.ts';

export interface LipsyncQueueOptions extends SourceRules {
  readonly redisUrl: string;
  /** The store that the workers read; local files are copied into it. */
  readonly artifacts: ArtifactStore;
  readonly maxInputBytes: number;
  readonly logger: Logger;
}

/** One clip and one speech recording, each as a local file or a URL, and the options of the HTTP interface. */
export type EnqueueInput = LipsyncOptionsInput &
  ({ readonly videoPath: string } | { readonly videoUrl: string }) &
  ({ readonly audioPath: string } | { readonly audioUrl: string });

/** The queue for a TypeScript program. `close` releases its connections. */
export class LipsyncQueue {
  readonly #options: LipsyncQueueOptions;
  readonly #store: RedisJobStore;
  readonly #jobs: QueuedJobs;
  readonly #close: () => Promise<void>;

  constructor(options: LipsyncQueueOptions) {
    const { artifacts, logger, redisUrl: url } = options;
    const redis = new RedisConnections({ url, artifacts, logger });
    const { clock } = redis;
    const connection = redis.commands;
    const store = new RedisJobStore({ connection });
    const producer = new LipsyncProducer({ connection, store, clock, logger });
    this.#options = options;
    this.#store = store;
    this.#jobs = new QueuedJobs({
      store,
      producer,
      results: new RedisResultCache({ connection: redis.commands, store, artifacts: options.artifacts }),
      clock,
      watcher: new RedisJobNotifications({ connection: redis.subscriptions }),
      ids: createIdSource(clock),
      keys: new IdempotencyKeys({ connection: redis.commands }),
      planJob: () => undecidedStart,
      verifyRedis: () => redis.verify(),
    });
    this.#close = async () => {
      await producer.close();
      redis.disconnect();
    };
  }

  /**
   * Stores local files and queues a job. A worker plans it, and fails it with `not_supported` if its method is not
   * configured. Throws `request_invalid`, `url_forbidden`, `InputNotFoundError`, `payload_too_large` and
   * `resource_exhausted`.
   */
  async enqueue(
    input: EnqueueInput,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly id: string }> {
    const { videoPath, videoUrl, audioPath, audioUrl, ...rest } = widen(input);
    const options = parseLipsyncOptions(rest);
    const sources = [parseSource('video', videoPath, videoUrl), parseSource('audio', audioPath, audioUrl)] as const;
    // Both are checked before either is stored, so that an unreadable second input leaves nothing behind.
    for (const source of sources) await checkSource(source, this.#options);
    const video = await storeSource(sources[0], this.#options, signal);
    const audio = await storeSource(sources[1], this.#options, signal);
    const { record } = await this.#jobs.submit({ video, audio, options, owner: null });
    return { id: record.id };
  }

  /**
   * Resolves with the record once the job has ended, with whatever status. Throws `TimeoutError` (`deadline_exceeded`)
   * after `timeoutMs`, while the job keeps running, `canceled` when `signal` aborts, and `not_found`.
   */
  async waitFor(
    id: string,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<JobRecord<'lipsync'>> {
    const timeLimit = AbortSignal.timeout(timeoutMs);
    for await (const record of this.#jobs.watch(id, signal ? AbortSignal.any([signal, timeLimit]) : timeLimit)) {
      if (isTerminal(record.status)) return requireKind(record, 'lipsync');
    }
    if (signal?.aborted) throw abortError(signal);
    if (!timeLimit.aborted) throw new LipsyncError('not_found', `Job ${id} was deleted.`);
    throw new TimeoutError(
      'deadline_exceeded',
      `Job ${id} did not end within ${timeoutMs} ms. It keeps running: wait again, or cancel it.`,
    );
  }

  /** As `QueuedJobs.cancel`. */
  cancel(id: string): Promise<JobRecord> {
    return this.#jobs.cancel(id);
  }

  /** Undefined for an unknown job. */
  async get(id: string): Promise<JobRecord<'lipsync'> | undefined> {
    const record = await this.#store.get(id);
    return record && requireKind(record, 'lipsync');
  }

  /** Closes the connections to Redis. Queued jobs stay queued. */
  close(): Promise<void> {
    return this.#close();
  }
}

/** Settings that a program shares with the workers: no keys, no models. */
type SharedSettings = Pick<CoreConfig, 'dataDir' | 'outputDir' | 'maxUploadBytes' | 'allowedPrivateHosts' | 's3Inputs'>;

/**
 * Opens the queue with the Redis and the folders that the workers use. Folders and limits come from the environment and
 * `.env`; options override them. The workers, not this program, decide which providers are configured.
 * Throws `request_invalid` for an invalid setting.
 */
export function openLipsyncQueue(
  options: { readonly redisUrl: string; readonly logger?: Logger } & Partial<SharedSettings>,
): LipsyncQueue {
  const { redisUrl, logger = silentLogger, ...overrides } = options;
  const config = { ...configFromEnvironment(), ...overrides };
  return new LipsyncQueue({
    redisUrl,
    logger,
    artifacts: createArtifactStore(config),
    maxInputBytes: config.maxUploadBytes,
    allowedPrivateHosts: parseAllowedHosts(config.allowedPrivateHosts),
    s3Inputs: config.s3Inputs,
  });
}

/** All members of the union side by side, so that missing and duplicate sources of untyped callers are visible. */
function widen(
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

async function checkSource(source: Source, rules: SourceRules): Promise<void> {
  if (source.kind === 'url') {
    checkSourceUrl(source.url, rules);
    return;
  }
  const message = `${source.path} is not a readable file. Check the path.`;
  try {
    await access(source.path, constants.R_OK);
    if ((await stat(source.path)).isFile()) return;
  } catch (error) {
    throw new InputNotFoundError(message, { cause: error });
  }
  // A folder, or a pipe that might never end.
  throw new InputNotFoundError(message);
}

async function storeSource(
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
