import { LipsyncError } from '../errors/index.ts';
import type { Workspace } from '../processes/workspace.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import { InputDownloader, type InputDownloaderOptions, type StoredInput } from './input-downloader.ts';
import { inputFields, type InputField, type InputReference, type JobInputs, type JobRecord } from './job-record.ts';

/** An input of a job as a file of this machine. The runner never writes or deletes it outside its workspace. */
export interface InputFile {
  readonly path: string;
  /** SHA-256 of the content, hexadecimal. */
  readonly digest: string;
}

/** The files of the inputs that a job has. */
export type InputFiles = { readonly [Field in InputField]?: InputFile };

export interface InputFetcherContext {
  readonly signal: AbortSignal;
  readonly workspace: Workspace;
  /** Stores where the inputs are now. Called after each download, so that a later run does not repeat it. */
  saveInputs(inputs: JobInputs): Promise<void>;
}

/** Provides the inputs of a job as files. Two implementations: the artifact store, and files that are read in place. */
export interface InputFetcher {
  /** Throws `not_found`, and the errors of `InputDownloader.download`. */
  fetch(record: JobRecord, context: InputFetcherContext): Promise<InputFiles>;
}

/** Returns the file of an input that every job of a kind has. */
export function requireInput(files: InputFiles, field: InputField): InputFile {
  const file = files[field];
  if (!file) throw new LipsyncError('internal', `The job has no input "${field}".`);
  return file;
}

/** Downloads inputs that are at a URL into the artifact store, and copies stored inputs to the workspace. */
export class ArtifactInputFetcher implements InputFetcher {
  readonly #artifacts: ArtifactStore;
  readonly #downloader: InputDownloader;

  constructor(options: InputDownloaderOptions) {
    this.#artifacts = options.artifacts;
    this.#downloader = new InputDownloader(options);
  }

  async fetch({ spec }: JobRecord, context: InputFetcherContext): Promise<InputFiles> {
    const { signal, workspace, saveInputs } = context;
    const stored: [InputField, StoredInput][] = [];
    for (const field of inputFields) {
      const input = spec[field];
      if (!input) continue;
      const found = await this.#store(field, input, context);
      if (found !== input) await saveInputs({ [field]: found });
      stored.push([field, found]);
    }
    const files = stored.map(async ([field, { key }]) => {
      const path = workspace.file(field);
      await this.#artifacts.materialize(key, path, signal);
      return [field, { path, digest: digestOf(key) }] as const;
    });
    return Object.fromEntries(await Promise.all(files));
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
