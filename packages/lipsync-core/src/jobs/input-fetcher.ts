import { LipsyncError } from '../errors/index.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import { InputDownloader, type InputDownloaderOptions, type InputField, type StoredInput } from './input-downloader.ts';
import type { InputReference, JobRecord, LipsyncSpec } from './job-record.ts';
import type { Workspace } from '../processes/workspace.ts';

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
  /** Throws `not_found`, and the errors of `InputDownloader.download`. */
  fetch(record: JobRecord, context: InputFetcherContext): Promise<FetchedInputs>;
}

/** Downloads inputs that are at a URL into the artifact store, and copies stored inputs to the workspace. */
export class ArtifactInputFetcher implements InputFetcher {
  readonly #artifacts: ArtifactStore;
  readonly #downloader: InputDownloader;

  constructor(options: InputDownloaderOptions) {
    this.#artifacts = options.artifacts;
    this.#downloader = new InputDownloader(options);
  }

  async fetch({ spec }: JobRecord, context: InputFetcherContext): Promise<FetchedInputs> {
    const { workspace, saveInputs } = context;
    const video = await this.#store('video', spec.video, context);
    if (video !== spec.video) await saveInputs({ video, audio: spec.audio });
    const audio = await this.#store('audio', spec.audio, context);
    if (audio !== spec.audio) await saveInputs({ video, audio });
    const clipPath = workspace.file('clip');
    const speechPath = workspace.file('speech');
    await this.#artifacts.materialize(video.key, clipPath);
    await this.#artifacts.materialize(audio.key, speechPath);
    return { clipPath, speechPath, clipDigest: digestOf(video.key) };
  }

  async #store(
    field: InputField,
    input: InputReference,
    { signal, workspace }: InputFetcherContext,
  ): Promise<StoredInput> {
    switch (input.kind) {
      case 'artifact':
        return input;
      case 'file':
        throw new LipsyncError('internal', 'The job reads files of the machine that created it and cannot run here.');
      case 'url':
        return this.#downloader.download({ field, url: input.url, partPath: workspace.file(`${field}.part`) }, signal);
    }
  }
}

/** Inputs are stored under the hash of their content. */
function digestOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
