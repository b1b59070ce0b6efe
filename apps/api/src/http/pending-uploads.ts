import { isUtf8 } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { LipsyncError, toDisplayName, type ArtifactStore, type InputReference } from '@lipsync/core/host';
import type { UploadedInputs } from '@lipsync/queue';
import type { FieldProblem } from './problem.ts';

/** Uploads that stream into the artifact store and are not committed yet. Call `commit` or `discard` exactly once. */
export interface PendingUploads<Field extends string> {
  has(field: Field): boolean;
  /** Starts storing a file. The store receives the end of the stream after `commit`. */
  add(field: Field, content: Readable, fileName: string | undefined): void;
  /** Waits for the last byte of all files. Resolves with what is wrong with them; rejects when storing fails. */
  waitForContent(): Promise<readonly FieldProblem[]>;
  /**
   * The references of the files as they will be stored. Call it after `waitForContent`.
   */
  references(): Promise<UploadReferences<Field>>;
  /** Rejects when storing a file fails; never resolves. */
  readonly failure: Promise<never>;
  /** Notes the files as uploads without a job, then commits them. */
  commit(noted: Pick<UploadedInputs, 'note'>): Promise<void>;
  /** Aborts all uploads; resolves when their partial files are deleted. */
  discard(): Promise<void>;
}

/** The files of a form, by field. */
export type UploadReferences<Field extends string> = Partial<Record<Field, StoredInput>>;

type StoredInput = Extract<InputReference, { kind: 'artifact' }>;

interface Upload {
  readonly name: string;
  readonly content: Readable;
  readonly read: Promise<ReadContent>;
  readonly fileName: string | undefined;
  readonly key: Promise<string>;
}

export interface UploadRules {
  readonly maxFileBytes: number;
  /** Limit for all files together; without it only that of each file holds. */
  readonly maxTotalBytes?: number;
}

/** Content up to this size may be text that was sent in place of a file. */
const maxTextBytes = 4_096;

/** Defers the commit of uploads, so that a request that is refused, aborted or too large leaves no file. */
export function createPendingUploads<Field extends string>(
  artifacts: ArtifactStore,
  { maxFileBytes, maxTotalBytes = Infinity }: UploadRules,
): PendingUploads<Field> {
  const uploads = new Map<Field, Upload>();
  let totalBytes = 0;
  const countBytes = (sizeBytes: number): void => {
    totalBytes += sizeBytes;
    if (totalBytes > maxTotalBytes)
      throw new LipsyncError(
        'payload_too_large',
        `The files are larger than the ${maxTotalBytes} bytes allowed for one request. Send several requests, or URLs.`,
      );
  };
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
      const read = Promise.withResolvers<ReadContent>();
      const ending = { onChunk: countBytes, onRead: read.resolve, hash: createHash('sha256') };
      const deferred = Readable.from(deferEnd(content, maxFileBytes, ending, decision.promise), { objectMode: false });
      const key = artifacts.putInput(deferred, { maxBytes: maxFileBytes }).then((stored) => stored.key);
      key.catch(failure.reject);
      uploads.set(field, {
        name: toDisplayName(fileName ?? '', field),
        content,
        read: read.promise,
        fileName,
        key,
      });
    },
    async waitForContent() {
      const problems = await Promise.race([
        Promise.all(
          [...uploads].map(async ([field, { read, fileName }]) => {
            const message = findContentProblem(field, await read, fileName);
            return message === undefined ? [] : [{ field, message }];
          }),
        ),
        failure.promise,
      ]);
      return problems.flat();
    },
    references: () => toReferences(uploads),
    async commit(noted) {
      const references = Object.values<StoredInput | undefined>(await toReferences(uploads));
      await noted.note(references.flatMap((reference) => reference?.key ?? []));
      decision.resolve();
      await Promise.all([...uploads.values()].map(({ key }) => key));
    },
    async discard() {
      const refused = new LipsyncError('canceled', 'The upload was refused.');
      decision.reject(refused);
      // Content that has not ended would never end.
      for (const { content } of uploads.values()) if (!content.readableEnded) content.destroy(refused);
      await Promise.allSettled([...uploads.values()].map(({ key }) => key));
    },
  };
}

/** Forwards all bytes, but ends only after the decision: normally after `commit`, with an error after `discard`. */
async function* deferEnd(
  content: AsyncIterable<Buffer>,
  maxBytes: number,
  { onChunk, onRead, hash }: ContentListeners,
  decision: Promise<void>,
): AsyncGenerator<Buffer> {
  let sizeBytes = 0;
  const head: Buffer[] = [];
  for await (const chunk of content) {
    sizeBytes += chunk.length;
    // The store has the same limit, but may detect it after the other file is committed.
    if (sizeBytes > maxBytes)
      throw new LipsyncError(
        'payload_too_large',
        `A file is larger than the ${maxBytes} bytes allowed. Send a smaller one.`,
      );
    onChunk(chunk.length);
    if (sizeBytes <= maxTextBytes) head.push(chunk);
    hash.update(chunk);
    yield chunk;
  }
  onRead({ sizeBytes, head: Buffer.concat(head), sha256: hash.digest('hex') });
  await decision;
}

interface ContentListeners {
  /** Throws to refuse the file. */
  readonly onChunk: (sizeBytes: number) => void;
  readonly onRead: (read: ReadContent) => void;
  readonly hash: Hash;
}

interface ReadContent {
  readonly sizeBytes: number;
  /** The whole content if it is at most `maxTextBytes` long. */
  readonly head: Buffer;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A part without a file name may be a form field: then the caller sent a URL or a path instead of the content. */
function findContentProblem(
  field: string,
  { sizeBytes, head }: ReadContent,
  fileName: string | undefined,
): string | undefined {
  if (sizeBytes === 0) return 'is an empty file';
  if (fileName !== undefined || sizeBytes > maxTextBytes) return undefined;
  const text = head.toString('utf8').trim();
  if (/^https?:\/\/\S+$/i.test(text)) return `is a URL: send it as "${field}_url" instead`;
  const isText = isUtf8(head) && !/[^\P{Cc}\t\r\n]/u.test(text);
  return isText ? `must be sent as a file (with curl: -F ${field}=@PATH)` : undefined;
}

async function toReferences<Field extends string>(
  uploads: ReadonlyMap<Field, Upload>,
): Promise<UploadReferences<Field>> {
  const references = [...uploads].map(
    async ([field, { name, read }]) =>
      [field, { kind: 'artifact', key: `inputs/${(await read).sha256}`, name }] as const,
  );
  // `as`: the type of `fromEntries` has no names of fields.
  return Object.fromEntries(await Promise.all(references)) as UploadReferences<Field>;
}
