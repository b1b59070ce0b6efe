import { Readable } from 'node:stream';
import { LipsyncError, type ArtifactStore, type InputReference } from '@lipsync/core/host';
import { toDisplayName } from './display-name.ts';

export const fileFields = ['video', 'audio'] as const;
export type FileField = (typeof fileFields)[number];

/** Uploads that stream into the artifact store and are not committed yet. Call `commit` or `discard` exactly once. */
export interface PendingUploads {
  has(field: FileField): boolean;
  /** Starts storing a file. The store receives the end of the stream after `commit`. */
  add(field: FileField, content: Readable, fileName: string): void;
  /** Waits for the last byte of all files. Resolves with the fields of empty files; rejects when storing fails. */
  waitForContent(): Promise<readonly FileField[]>;
  /** Rejects when storing a file fails; never resolves. */
  readonly failure: Promise<never>;
  /** Commits the files. Throws `internal` if a field has no file. */
  commit(): Promise<Record<FileField, InputReference>>;
  /** Aborts all uploads; resolves when their partial files are deleted. */
  discard(): Promise<void>;
}

interface Upload {
  readonly name: string;
  readonly sizeBytes: Promise<number>;
  readonly key: Promise<string>;
}

/** Defers the commit of uploads, so that a request that is refused, aborted or too large leaves no file. */
export function createPendingUploads(artifacts: ArtifactStore, maxFileBytes: number): PendingUploads {
  const uploads = new Map<FileField, Upload>();
  const decision = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<never>();
  // Either may reject before anything awaits it.
  decision.promise.catch(() => undefined);
  failure.promise.catch(() => undefined);

  return {
    failure: failure.promise,
    has: (field) => uploads.has(field),
    add(field, content, fileName) {
      // The reader of the content receives its errors; this handles an error before the first read.
      content.on('error', () => undefined);
      const size = Promise.withResolvers<number>();
      const deferred = Readable.from(deferEnd(content, maxFileBytes, size.resolve, decision.promise), {
        objectMode: false,
      });
      const key = artifacts.putInput(deferred, { maxBytes: maxFileBytes }).then((stored) => stored.key);
      key.catch(failure.reject);
      uploads.set(field, { name: toDisplayName(fileName, field), sizeBytes: size.promise, key });
    },
    async waitForContent() {
      const sizes = await Promise.race([
        Promise.all([...uploads.values()].map(({ sizeBytes }) => sizeBytes)),
        failure.promise,
      ]);
      return [...uploads.keys()].filter((_, index) => sizes[index] === 0);
    },
    async commit() {
      decision.resolve();
      const [video, audio] = await Promise.all(fileFields.map((field) => toReference(uploads.get(field))));
      if (!video || !audio) throw new LipsyncError('internal', 'Uploads were committed although one is missing.');
      return { video, audio };
    },
    async discard() {
      decision.reject(new LipsyncError('canceled', 'The upload was refused.'));
      await Promise.allSettled([...uploads.values()].map(({ key }) => key));
    },
  };
}

/** Forwards all bytes, but ends only after the decision: normally after `commit`, with an error after `discard`. */
async function* deferEnd(
  content: AsyncIterable<Buffer>,
  maxBytes: number,
  onRead: (sizeBytes: number) => void,
  decision: Promise<void>,
): AsyncGenerator<Buffer> {
  let sizeBytes = 0;
  for await (const chunk of content) {
    sizeBytes += chunk.length;
    // The store has the same limit, but may detect it after the other file is committed.
    if (sizeBytes > maxBytes)
      throw new LipsyncError(
        'payload_too_large',
        `A file is larger than the ${maxBytes} bytes allowed. Send a smaller one.`,
      );
    yield chunk;
  }
  onRead(sizeBytes);
  await decision;
}

async function toReference(upload: Upload | undefined): Promise<InputReference | undefined> {
  return upload && { kind: 'artifact', key: await upload.key, name: upload.name };
}
