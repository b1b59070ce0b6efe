import pRetry from 'p-retry';
import { GuardedClient, RequestError, type AllowedPrivateHosts } from '../net/index.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import type { InputReference, JobRecord } from './job-record.ts';
import type { Workspace } from './workspace.ts';

/** The longest a download may take, and the longest it may stand still. */
const fetchTimeoutMs = 15 * 60_000;
const fetchIdleTimeoutMs = 30_000;

/** After the first try; each further pause is twice as long. */
const fetchRetries = 2;
const fetchRetryPauseMs = 1_000;

export interface FetchedInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  /** SHA-256 of the clip, hexadecimal. */
  readonly clipDigest: string;
}

export interface InputFetcherContext {
  readonly signal: AbortSignal;
  readonly workspace: Workspace;
  /** Called, and waited for, each time an input came from its URL, so that no later run fetches it again. */
  saveInputs(inputs: Pick<JobRecord, 'video' | 'audio'>): Promise<void>;
}

/** Brings a job's inputs into its workspace, by way of the artifact store. */
export interface InputFetcher {
  /** Throws as `GuardedClient` and the artifact store do; a fetch whose fault may pass is tried three times. */
  fetch(record: JobRecord, context: InputFetcherContext): Promise<FetchedInputs>;
}

type StoredInput = Extract<InputReference, { kind: 'artifact' }>;

export function createInputFetcher(options: {
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  readonly retryPauseMs?: number;
}): InputFetcher {
  const { artifacts, maxBytes, allowedPrivateHosts, retryPauseMs = fetchRetryPauseMs } = options;

  const client = new GuardedClient({ allowedPrivateHosts });

  async function download(url: string, signal: AbortSignal): Promise<StoredInput> {
    const limits = {
      maxResponseBytes: maxBytes,
      timeoutMs: fetchTimeoutMs,
      idleTimeoutMs: fetchIdleTimeoutMs,
      signal,
    };
    const { body } = await client.download(url, limits);
    const { key } = await artifacts.putInput(body, { maxBytes, signal });
    return { kind: 'artifact', key, name: key };
  }

  async function store(
    input: InputReference,
    signal: AbortSignal,
    save: (stored: StoredInput) => Promise<void>,
  ): Promise<StoredInput> {
    if (input.kind === 'artifact') return input;
    const stored = await pRetry(() => download(input.url, signal), {
      retries: fetchRetries,
      minTimeout: retryPauseMs,
      signal,
      shouldRetry: ({ error }) => mayPass(error),
    });
    await save(stored);
    return stored;
  }

  return {
    async fetch(record, { signal, workspace, saveInputs }) {
      const video = await store(record.video, signal, (stored) => saveInputs({ video: stored, audio: record.audio }));
      const audio = await store(record.audio, signal, (stored) => saveInputs({ video, audio: stored }));
      const clipPath = workspace.file('clip');
      const speechPath = workspace.file('speech');
      await artifacts.materialize(video.key, clipPath);
      await artifacts.materialize(audio.key, speechPath);
      return { clipPath, speechPath, clipDigest: digestOf(video.key) };
    },
  };
}

/** The server was down, silent or cut the answer short; it may do better in a moment. */
function mayPass(error: Error): boolean {
  return error instanceof RequestError && error.retryable;
}

/** Inputs are stored under the hash of their content. */
function digestOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
