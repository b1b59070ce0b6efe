import { Readable } from 'node:stream';
import { LipsyncError, type ArtifactStore, type InputReference } from '@lipsync/core/host';
import { toDisplayName } from './display-name.ts';

export const fileFields = ['video', 'audio'] as const;
export type FileField = (typeof fileFields)[number];

/** Files that stream into the artifact store, none of them committed yet. Call `keep` or `discard` exactly once. */
export interface HeldUploads {
  has(field: FileField): boolean;
  /** Starts storing a file. The store receives the end of the stream after `keep`. */
  add(field: FileField, content: Readable, givenName: string): void;
  /** Resolves after the last byte with the fields whose files are empty; rejects when storing fails. */
  received(): Promise<readonly FileField[]>;
  /** Rejects when storing a file fails; never resolves. */
  readonly failed: Promise<never>;
  /** Commits the files. Throws `internal` if a field has no file. */
  keep(): Promise<Record<FileField, InputReference>>;
  /** Aborts all uploads; resolves when the store holds nothing of them. */
  discard(): Promise<void>;
}

interface Upload {
  readonly name: string;
  readonly sizeBytes: Promise<number>;
  readonly key: Promise<string>;
}

/** Delays the commit of uploads, so that a request that is refused, aborted or too large leaves no file. */
export function holdUploads(artifacts: ArtifactStore, maxFileBytes: number): HeldUploads {
  const uploads = new Map<FileField, Upload>();
  const verdict = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<never>();
  // Either may reject before anything awaits it.
  verdict.promise.catch(() => undefined);
  failure.promise.catch(() => undefined);

  return {
    failed: failure.promise,
    has: (field) => uploads.has(field),
    add(field, content, givenName) {
      // The reader of the content receives its errors; this handles an error before the first read.
      content.on('error', () => undefined);
      const size = Promise.withResolvers<number>();
      const held = Readable.from(withholdEnd(content, maxFileBytes, size.resolve, verdict.promise), {
        objectMode: false,
      });
      const key = artifacts.putInput(held, { maxBytes: maxFileBytes }).then((stored) => stored.key);
      key.catch(failure.reject);
      uploads.set(field, { name: toDisplayName(givenName, field), sizeBytes: size.promise, key });
    },
    async received() {
      const sizes = await Promise.race([
        Promise.all([...uploads.values()].map(({ sizeBytes }) => sizeBytes)),
        failure.promise,
      ]);
      return [...uploads.keys()].filter((_, index) => sizes[index] === 0);
    },
    async keep() {
      verdict.resolve();
      const [video, audio] = await Promise.all(fileFields.map((field) => toReference(uploads.get(field))));
      if (!video || !audio) throw new LipsyncError('internal', 'Uploads were committed although one is missing.');
      return { video, audio };
    },
    async discard() {
      verdict.reject(new LipsyncError('canceled', 'The upload was refused.'));
      await Promise.allSettled([...uploads.values()].map(({ key }) => key));
    },
  };
}

/** Forwards all bytes, but ends only after the verdict: normally after `keep`, with an error after `discard`. */
async function* withholdEnd(
  content: AsyncIterable<Buffer>,
  maxBytes: number,
  onRead: (sizeBytes: number) => void,
  verdict: Promise<void>,
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
  await verdict;
}

async function toReference(upload: Upload | undefined): Promise<InputReference | undefined> {
  return upload && { kind: 'artifact', key: await upload.key, name: upload.name };
}
