import type { Readable } from 'node:stream';
import { LipsyncError } from '../errors/index.ts';
import type { ReadinessCheck } from '../processes/readiness.ts';

/** Facts about a stored object. */
export interface StoredArtifact {
  /** A relative name, the same on every machine: `inputs/<sha256>` or `outputs/<job>/<name>`. */
  readonly key: string;
  readonly sizeBytes: number;
  /** SHA-256 of the content in lower-case hex; null for an output, which is stored without being read. */
  readonly sha256: string | null;
}

/** First and last byte of a part of an object, both inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Headers of a download. */
export interface ContentHeaders {
  readonly contentType: string;
  readonly contentDisposition: string;
}

export interface PutInputOptions {
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
  /**
   * Path of the partial file, for a writer whose folder is cleaned up after a crash. By default the store chooses one,
   * which `sweep` deletes after a crash.
   */
  readonly partPath?: string;
}

/** Inputs and outputs of jobs, stored by key. Every driver passes `artifactStoreSuite`. */
export interface ArtifactStore {
  /**
   * The id of the store, the same for every process that shares all of it; created by the first call. A process that
   * shares the inputs, but whose outputs are stored elsewhere than registered, gets another id.
   */
  id(): Promise<string>;
  /** Registers the place of this process as that of all outputs, and returns the id. For processes that serve outputs. */
  register(): Promise<string>;
  /**
   * Stores an input under the SHA-256 of its content; the same bytes always get the same key. Stores nothing when the
   * stream fails, the signal aborts or the content exceeds `maxBytes` (`payload_too_large`).
   */
  putInput(content: Readable, options: PutInputOptions): Promise<StoredArtifact>;
  /**
   * Moves a complete local file to an output key, atomically for readers. Replaces an earlier object. Throws the reason
   * of an aborted signal, and keeps the local file whenever it throws.
   */
  publish(localPath: string, key: string, signal?: AbortSignal): Promise<StoredArtifact>;
  /** Returns undefined when there is no such object. */
  stat(key: string): Promise<StoredArtifact | undefined>;
  /** Reads an object or a range of it. Throws `not_found`, or `request_invalid` for a range outside the object. */
  read(key: string, range?: ByteRange): Promise<Readable>;
  /**
   * Makes an object available at `localPath` (a hard link if the driver supports it). Throws `not_found`, and the reason
   * of an aborted signal.
   */
  materialize(key: string, localPath: string, signal?: AbortSignal): Promise<void>;
  /**
   * Returns a URL with which a client without a key reads an output for a limited time; undefined where clients read
   * outputs through the API.
   */
  signedUrl(key: string, headers: ContentHeaders): Promise<string | undefined>;
  /** Deletes an object. Succeeds when it does not exist. Throws a `StorageError`, and the reason of an aborted signal. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /**
   * Deletes partial files of writers that crashed and returns their number: those of ended processes of this host, and
   * those that are older than `olderThanMs`, which must exceed the longest pause of a running writer.
   */
  sweep(options: { readonly olderThanMs: number; readonly nowMs: number }): Promise<number>;
  /** Checks with test writes that inputs and outputs can be stored. Does not throw for a folder that fails. */
  health(): Promise<ArtifactStoreHealth>;
}

export interface ArtifactStoreHealth {
  readonly inputs: FolderHealth;
  readonly outputs: FolderHealth;
}

export interface FolderHealth {
  readonly path: string;
  /** Null when the driver has no limit, does not report one, or the folder failed. */
  readonly freeBytes: number | null;
  /** The failure of the test write, which names the folder and the remedy; null when it succeeded. */
  readonly error: LipsyncError | null;
}

/** Throws the error of the first folder that cannot be written. */
export async function requireWritableStore(artifacts: Pick<ArtifactStore, 'health'>): Promise<void> {
  const { inputs, outputs } = await artifacts.health();
  const error = inputs.error ?? outputs.error;
  if (error) throw error;
}

/** Readiness of a process that stores files. */
export function storageChecks(artifacts: Pick<ArtifactStore, 'health'>): readonly ReadinessCheck[] {
  const check = async (folder: keyof ArtifactStoreHealth): Promise<void> => {
    const { error } = (await artifacts.health())[folder];
    if (error) throw error;
  };
  return [
    { name: 'data_folder', check: () => check('inputs') },
    { name: 'output_folder', check: () => check('outputs') },
  ];
}

/** The parts of a key. */
export type ArtifactLocation =
  | { readonly kind: 'input'; readonly sha256: string }
  | { readonly kind: 'output'; readonly jobId: string; readonly name: string };

const inputPattern = /^inputs\/(?<sha256>[0-9a-f]{64})$/;
// Job id and name never start with a dot: that excludes `..` and the names of partial files.
const outputPattern = /^outputs\/(?<jobId>[A-Za-z0-9][A-Za-z0-9_-]{0,99})\/(?<name>[A-Za-z0-9][A-Za-z0-9._-]{0,99})$/;

/** Artifact key of the rejected take of an attempt, until its job ends. */
export function candidateKeyOf(jobId: string, attemptIndex: number): string {
  return `outputs/${jobId}/candidate-${attemptIndex}.mp4`;
}

/** Parses a key. Throws `internal` for any other text, because only the service itself creates keys. */
export function parseArtifactKey(key: string): ArtifactLocation {
  const { sha256 } = inputPattern.exec(key)?.groups ?? {};
  if (sha256 !== undefined) return { kind: 'input', sha256 };
  const { jobId, name } = outputPattern.exec(key)?.groups ?? {};
  if (jobId !== undefined && name !== undefined) return { kind: 'output', jobId, name };
  throw new LipsyncError('internal', 'A stored file has an invalid name. Report this error.', {
    cause: new Error(`not an artifact key: ${JSON.stringify(key)}`),
  });
}

/** Throws `internal` unless the key is that of an output. */
export function requireOutputKey(key: string): void {
  if (parseArtifactKey(key).kind === 'output') return;
  throw new LipsyncError('internal', 'An output cannot be published under the key of an input. Report this error.');
}
