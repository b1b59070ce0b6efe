import type { Readable } from 'node:stream';

/** A stored object. Keys are relative, never a path of one machine. */
export interface StoredArtifact {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Bytes by key. A port: local disk today, an object store tomorrow; every driver passes the same suite. */
export interface ArtifactStore {
  /**
   * Stores an input under the SHA-256 of its content and returns its key `inputs/<hex>`; storing the same bytes twice
   * gives the same key. Nothing remains when the stream fails, the signal aborts or the size passes `maxBytes`
   * (`payload_too_large`).
   */
  putInput(
    content: Readable,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal },
  ): Promise<StoredArtifact>;
  /** Moves a finished local file to `key` atomically: readers see all of it or nothing. Replaces what was there. */
  publish(localPath: string, key: string): Promise<StoredArtifact>;
  /** Facts of an object, or undefined when there is none. */
  stat(key: string): Promise<StoredArtifact | undefined>;
  /** Reads an object, or bytes `start`…`end` of it (both inclusive). Throws `not_found`. */
  read(key: string, range?: { readonly start: number; readonly end: number }): Promise<Readable>;
  /** Makes the object available as a local file at `localPath` (a link where the driver can, else a copy). Throws `not_found`. */
  materialize(key: string, localPath: string): Promise<void>;
  delete(key: string): Promise<void>;
}
