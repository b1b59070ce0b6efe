import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { Request } from 'express';
import type { Readable } from 'node:stream';
import { watchFormRate, type BodyTimeLimits } from './body-time.ts';
import { HttpError, type FieldProblem } from './problem.ts';

/** Several times the size of all known fields; metadata is the largest, at 16 KiB. */
const maxFieldBytes = 32_768;

/** An unexpected file is read up to this size, so that the response can list the other problems of the form. */
const maxRefusedFileBytes = 1_048_576;

/** A file as it arrives. */
export interface FormFile {
  readonly field: string;
  readonly content: Readable;
  readonly fileName: string | undefined;
}

/** What a form may have. */
export interface FormParts {
  readonly limits: { readonly fields: number; readonly files: number; readonly parts: number };
  /** Sentence that states which parts to send. */
  readonly advice: string;
  /** Whether a part of this name is a file although it has no file name. */
  isFile(field: string | undefined): boolean;
  /** Receives a file. Returns what is wrong with the part if it is not used; then its content is discarded. */
  takeFile(file: FormFile): string | undefined;
  /** Throws to refuse the form before the rest of it is read. */
  checkField(field: string, text: string): void;
}

/** The text of a form. */
export interface FormFields {
  readonly fields: ReadonlyMap<string, string>;
  readonly problems: readonly FieldProblem[];
}

/**
 * Reads a multipart form, and passes its files on as they arrive. `failure` rejects when a file cannot be received.
 * Throws `request_invalid` (400) for a broken form, (408) for one that arrives too slowly, the error of `failure`, and
 * what `checkField` throws.
 */
export async function readFormParts(
  request: Request,
  parts: FormParts,
  { bodyTime, failure }: { readonly bodyTime: BodyTimeLimits; readonly failure: Promise<never> },
): Promise<FormFields> {
  const parser = createParser(request, parts);
  const refusal = Promise.withResolvers<never>();
  const collected = collectParts(parser, parts, refusal.reject);
  const isBusy = (): boolean => request.complete || parser.writableNeedDrain;
  const stopWatching = watchFormRate(request, bodyTime, { isBusy, onSlow: refusal.reject });
  try {
    await Promise.race([pipeInto(request, parser, parts), failure, refusal.promise]);
    return collected;
  } catch (error) {
    request.unpipe(parser);
    parser.destroy();
    throw error;
  } finally {
    stopWatching();
  }
}

/** Collects fields and files as they arrive; calls `refuse` with an error that ends the form immediately. */
function collectParts(
  parser: BusboyInstance,
  { advice, checkField, takeFile }: FormParts,
  refuse: (error: unknown) => void,
): FormFields {
  const fields = new Map<string, string>();
  const problems: FieldProblem[] = [];
  let parts = 0;
  /** A part without a name is named by its position. Returns whether it has none. */
  const refuseNameless = (name: string | undefined): boolean => {
    parts += 1;
    if (name) return false;
    problems.push({ field: `part ${parts}`, message: 'has no name' });
    return true;
  };
  parser.on('field', (field, value, _nameTruncated, valueTruncated) => {
    if (refuseNameless(field)) return;
    const message = findFieldProblem(field, { value, fields, valueTruncated });
    if (message !== undefined) return void problems.push({ field, message });
    fields.set(field, value);
    try {
      checkField(field, value);
    } catch (error) {
      refuse(error);
    }
  });
  parser.on('file', (field, content, fileName: string | undefined) => {
    if (!refuseNameless(field)) {
      const message = takeFile({ field, content, fileName });
      if (message === undefined) return;
      problems.push({ field, message });
    }
    discardFile(content, () =>
      refuse(
        new HttpError('request_invalid', `The form has an unexpected file. ${advice} and no other.`, {
          fields: problems,
        }),
      ),
    );
  });
  return { fields, problems };
}

/** Discards a file while it arrives, up to a limit. */
function discardFile(content: Readable, onLimit: () => void): void {
  let sizeBytes = 0;
  content
    .on('error', () => undefined)
    .on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxRefusedFileBytes) onLimit();
    });
}

function createParser({ headers }: Request, { limits, isFile }: FormParts): BusboyInstance {
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      limits: { ...limits, fieldSize: maxFieldBytes, headerPairs: 50 },
      // Clients that send bytes instead of a file on disk often leave the file name out.
      isPartAFile: (name, type, fileName) =>
        fileName !== undefined || type === 'application/octet-stream' || isFile(name),
    });
  } catch (cause) {
    throw brokenForm(cause);
  }
}

/** Pipes the body into the parser until both have ended. */
function pipeInto(request: Request, parser: BusboyInstance, { advice }: FormParts): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooMany = () =>
      reject(new HttpError('request_invalid', `The form has too many parts. ${advice} and each field once.`));
    parser.once('fieldsLimit', tooMany).once('filesLimit', tooMany).once('partsLimit', tooMany);
    parser.once('finish', resolve);
    // Never removed: destroying the parser early makes it emit another error.
    parser.on('error', (cause) => reject(brokenForm(cause)));
    request.once('error', (cause) => reject(brokenForm(cause)));
    request.once('close', () => {
      if (!request.complete) reject(brokenForm());
    });
    request.pipe(parser);
  });
}

function brokenForm(cause?: unknown): HttpError {
  return new HttpError('request_invalid', 'The multipart form is malformed or incomplete. Send it again.', {
    cause,
    httpStatus: 400,
  });
}

function findFieldProblem(
  field: string,
  {
    value,
    fields,
    valueTruncated,
  }: { readonly value: string; readonly fields: ReadonlyMap<string, string>; readonly valueTruncated: boolean },
): string | undefined {
  if (valueTruncated) return `must be at most ${maxFieldBytes} bytes`;
  if (fields.has(field)) return 'must be sent once';
  // The parser replaces invalid bytes by this character, which a caller has no reason to send.
  return value.includes('\ufffd') ? 'is not valid UTF-8' : undefined;
}
