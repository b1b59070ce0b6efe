import { Readable } from 'node:stream';
import { LipsyncError, type ArtifactStore, type InputReference } from '@lipsync/core';
import { toDisplayName } from './display-name.ts';

export const fileFields = ['video', 'audio'] as const;
export type FileField = (typeof fileFields)[number];

/** Files on their way into the artifact store, none of them kept yet. One of `keep` and `discard` ends it. */
export interface HeldUploads {
  has(field: FileField): boolean;
  /** Starts to store a file; the store sees its end only once the uploads are kept. */
  add(field: FileField, content: Readable, givenName: string): void;
  /** Resolves with the fields whose files turned out empty once every byte was read; rejects when storing fails. */
  received(): Promise<readonly FileField[]>;
  /** Rejects as soon as storing one of them fails; never resolves. */
  readonly failed: Promise<never>;
  /** Lets the store finish. Throws `internal` unless there is one file for each field. */
  keep(): Promise<Record<FileField, InputReference>>;
  /** Makes the store forget everything; resolves when nothing remains. */
  discard(): Promise<void>;
}

interface Upload {
  readonly name: string;
  readonly sizeBytes: Promise<number>;
  readonly key: Promise<string>;
}

/** Holds uploads back from being kept, so that a request that is refused, cut off or too large leaves nothing behind. */
export function holdUploads(artifacts: ArtifactStore, maxFileBytes: number): HeldUploads {
  const uploads = new Map<FileField, Upload>();
  const verdict = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<never>();
  // Either may come to its end with nobody waiting for it.
  verdict.promise.catch(() => undefined);
  failure.promise.catch(() => undefined);

  return {
    failed: failure.promise,
    has: (field) => uploads.has(field),
    add(field, content, givenName) {
      // Whoever reads the content hears of its errors; this is for one that fails before anybody reads.
      content.on('error', () => undefined);
      const size = Promise.withResolvers<number>();
      const held = Readable.from(holdBack(content, maxFileBytes, size.resolve, verdict.promise), { objectMode: false });
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
      if (!video || !audio) throw new LipsyncError('internal', 'Uploads were kept although one is missing.');
      return { video, audio };
    },
    async discard() {
      verdict.reject(new LipsyncError('canceled', 'The upload was refused.'));
      await Promise.allSettled([...uploads.values()].map(({ key }) => key));
    },
  };
}

/** Passes all bytes on, but ends only after the verdict, and with an error where it is against. */
async function* holdBack(
  content: AsyncIterable<Buffer>,
  maxBytes: number,
  onRead: (sizeBytes: number) => void,
  verdict: Promise<void>,
): AsyncGenerator<Buffer> {
  let sizeBytes = 0;
  for await (const chunk of content) {
    sizeBytes += chunk.length;
    // The store has the same limit, but might notice only after the verdict, when the other file is kept already.
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
