import busboy from 'busboy';
import type { Request } from 'express';
import type { Readable } from 'node:stream';
import type { ArtifactStore } from '@lipsync/core/host';
import { createPendingUploads, fileFields, type FileField, type PendingUploads } from './pending-uploads.ts';
import { HttpError, type FieldProblem } from './problem.ts';

/** Several times the size of all known fields; metadata is the largest, at 16 KiB. */
const formLimits = { fieldSize: 32_768, fields: 32, files: 4, parts: 40, headerPairs: 50 };

/** An unexpected file is read up to this size, so that the response can list the other problems of the form. */
const maxRefusedFileBytes = 1_048_576;

/** The content of a form. The caller commits or discards the uploads. */
export interface ReceivedForm {
  readonly fields: ReadonlyMap<string, string>;
  readonly problems: readonly FieldProblem[];
  readonly uploads: PendingUploads;
}

export interface FormRules {
  readonly maxFileBytes: number;
  /** Throws to refuse the form before the rest of it is read. */
  readonly checkField: (field: string, text: string) => void;
}

/**
 * Reads a multipart form; streams its files into the artifact store without committing them.
 * Throws `request_invalid` (400) for a broken form, `payload_too_large` for a file above the limit, and what
 * `checkField` throws; then none of the files is stored.
 */
export async function receiveForm(request: Request, artifacts: ArtifactStore, rules: FormRules): Promise<ReceivedForm> {
  const parser = createParser(request);
  const uploads = createPendingUploads(artifacts, rules.maxFileBytes);
  const refusal = Promise.withResolvers<never>();
  const { fields, problems } = collectParts(parser, uploads, rules.checkField, refusal.reject);
  try {
    await Promise.race([pipeInto(request, parser), uploads.failure, refusal.promise]);
    const empty = await uploads.waitForContent();
    problems.push(...empty.map((field) => ({ field, message: 'is an empty file' })));
  } catch (error) {
    request.unpipe(parser);
    parser.destroy();
    await uploads.discard();
    throw error;
  }
  return { fields, problems: [...problems, ...missingFiles(uploads, problems)], uploads };
}

/** Collects fields and files as they arrive; calls `refuse` with an error that ends the form immediately. */
function collectParts(
  parser: busboy.Busboy,
  uploads: PendingUploads,
  checkField: FormRules['checkField'],
  refuse: (error: unknown) => void,
): { readonly fields: ReadonlyMap<string, string>; readonly problems: FieldProblem[] } {
  const fields = new Map<string, string>();
  const problems: FieldProblem[] = [];
  parser.on('field', (field, value, { valueTruncated }) => {
    const message = findFieldProblem(field, fields, valueTruncated);
    if (message !== undefined) return void problems.push({ field, message });
    fields.set(field, value);
    try {
      checkField(field, value);
    } catch (error) {
      refuse(error);
    }
  });
  parser.on('file', (field, content, { filename }) => {
    if (isFileField(field) && !uploads.has(field)) return uploads.add(field, content, filename ?? '');
    problems.push({ field, message: isFileField(field) ? 'must be sent once' : 'is not a known file field' });
    discardFile(content, () =>
      refuse(
        new HttpError(
          'request_invalid',
          'The form has an unexpected file. Send one "video", one "audio" and no other.',
          { fields: problems },
        ),
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

function createParser(request: Request): busboy.Busboy {
  try {
    return busboy({ headers: request.headers, limits: formLimits, defParamCharset: 'utf8' });
  } catch (cause) {
    throw brokenForm(cause);
  }
}

/** Pipes the body into the parser until both have ended. */
function pipeInto(request: Request, parser: busboy.Busboy): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooMany = () =>
      reject(
        new HttpError(
          'request_invalid',
          'The form has too many parts. Send one "video", one "audio" and each field once.',
        ),
      );
    parser.once('fieldsLimit', tooMany).once('filesLimit', tooMany).once('partsLimit', tooMany);
    parser.once('close', resolve);
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
  fields: ReadonlyMap<string, string>,
  valueTruncated: boolean,
): string | undefined {
  if (isFileField(field)) return 'must be sent as a file';
  if (valueTruncated) return `must be at most ${formLimits.fieldSize} bytes`;
  if (fields.has(field)) return 'must be sent once';
  return undefined;
}

function missingFiles(uploads: PendingUploads, problems: readonly FieldProblem[]): FieldProblem[] {
  return fileFields
    .filter((field) => !uploads.has(field) && !problems.some((problem) => problem.field === field))
    .map((field) => ({ field, message: 'is missing: send it as a file' }));
}

function isFileField(field: string): field is FileField {
  return fileFields.some((known) => known === field);
}
