import pRetry from 'p-retry';
import { LipsyncError, toLipsyncError } from '../errors/index.ts';
import { GuardedClient, type AllowedPrivateHosts } from '../net/index.ts';
import { decideRetry, downloadPauseMs, maxDownloadTries } from '../providers/retry-policy.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import type { InputReference, JobRecord, LipsyncSpec } from './job-record.ts';
import type { Workspace } from '../processes/workspace.ts';

/** Limits of one download: in all, and without any data. */
const fetchTimeoutMs = 15 * 60_000;
const fetchIdleTimeoutMs = 30_000;

/** Inputs of a job as files of this machine. The runner never writes or deletes them outside its workspace. */
export interface FetchedInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  /** SHA-256 of the clip, hexadecimal. */
  readonly clipDigest: string;
}

export interface InputFetcherContext {
  readonly signal: AbortSignal;
  readonly workspace: Workspace;
  /** Stores where the inputs are now. Called after each download, so that a later run does not repeat it. */
  saveInputs(inputs: Pick<LipsyncSpec, 'video' | 'audio'>): Promise<void>;
}

/** Provides the inputs of a job as files. Two implementations: the artifact store, and files that are read in place. */
export interface InputFetcher {
  /**
   * Throws `not_found`, `request_invalid`, `url_forbidden`, `fetch_failed`, `payload_too_large`, or
   * `resource_exhausted` when the disk is full.
   */
  fetch(record: JobRecord, context: InputFetcherContext): Promise<FetchedInputs>;
}

export interface ArtifactInputFetcherOptions {
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
  readonly allowedPrivateHosts: AllowedPrivateHosts;
  readonly retryPauseMs?: number;
}

type StoredInput = Extract<InputReference, { kind: 'artifact' }>;

/**
 * Downloads inputs into the artifact store, with three tries if the failure is transient, and copies them to the
 * workspace.
 */
export class ArtifactInputFetcher implements InputFetcher {
  readonly #options: ArtifactInputFetcherOptions;
  readonly #client: GuardedClient;

  constructor(options: ArtifactInputFetcherOptions) {
    this.#options = options;
    this.#client = new GuardedClient({ allowedPrivateHosts: options.allowedPrivateHosts });
  }

  async fetch({ spec }: JobRecord, { signal, workspace, saveInputs }: InputFetcherContext): Promise<FetchedInputs> {
    const { artifacts } = this.#options;
    const video = await this.#store(spec.video, signal);
    if (video !== spec.video) await saveInputs({ video, audio: spec.audio });
    const audio = await this.#store(spec.audio, signal);
    if (audio !== spec.audio) await saveInputs({ video, audio });
    const clipPath = workspace.file('clip');
    const speechPath = workspace.file('speech');
    await artifacts.materialize(video.key, clipPath);
    await artifacts.materialize(audio.key, speechPath);
    return { clipPath, speechPath, clipDigest: digestOf(video.key) };
  }

  async #store(input: InputReference, signal: AbortSignal): Promise<StoredInput> {
    switch (input.kind) {
      case 'artifact':
        return input;
      case 'file':
        throw new LipsyncError('internal', 'The job reads files of the machine that created it and cannot run here.');
      case 'url':
        return pRetry(() => this.#download(input.url, signal), {
          retries: maxDownloadTries - 1,
          minTimeout: this.#options.retryPauseMs ?? downloadPauseMs,
          signal,
          shouldRetry: ({ error, attemptNumber }) =>
            decideRetry({ type: 'input_download' }, toLipsyncError(error), { failures: attemptNumber }).type ===
            'retry',
        });
    }
  }

  async #download(url: string, signal: AbortSignal): Promise<StoredInput> {
    const { artifacts, maxBytes } = this.#options;
    const { body } = await this.#client.download(url, {
      maxResponseBytes: maxBytes,
      timeoutMs: fetchTimeoutMs,
      idleTimeoutMs: fetchIdleTimeoutMs,
      signal,
    });
    const { key } = await artifacts.putInput(body, { maxBytes, signal });
    return { kind: 'artifact', key, name: key };
  }
}

/** Inputs are stored under the hash of their content. */
function digestOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
