import busboy from 'busboy';
import type { Request } from 'express';
import type { ArtifactStore } from '@lipsync/core';
import { fileFields, holdUploads, type FileField, type HeldUploads } from './held-uploads.ts';
import { HttpError, type FieldProblem } from './problem.ts';

/** Room for every known field several times over; metadata is the largest, at 16 KiB. */
const formLimits = { fieldNameSize: 100, fieldSize: 32_768, fields: 32, files: 4, parts: 40, headerPairs: 50 };

/** Everything that a form held. The uploads are not kept yet: the caller keeps or discards them. */
export interface ReceivedForm {
  readonly fields: ReadonlyMap<string, string>;
  readonly problems: readonly FieldProblem[];
  readonly uploads: HeldUploads;
}

/**
 * Reads a multipart form, its files straight into the artifact store with nothing kept.
 * Throws `request_invalid` (400) for a broken form, `payload_too_large` for a file above `maxFileBytes`; then
 * nothing of the form remains.
 */
export async function receiveForm(request: Request, artifacts: ArtifactStore, maxFileBytes: number): Promise<ReceivedForm> {
  const parser = createParser(request);
  const uploads = holdUploads(artifacts, maxFileBytes);
  const fields = new Map<string, string>();
  const problems: FieldProblem[] = [];
  parser.on('field', (field, value, { nameTruncated, valueTruncated }) => {
    const message = refuseField(field, fields, nameTruncated || valueTruncated);
    if (message === undefined) fields.set(field, value);
    else problems.push({ field, message });
  });
  parser.on('file', (field, content, { filename }) => {
    if (isFileField(field) && !uploads.has(field)) {
      uploads.add(field, content, filename ?? '');
      return;
    }
    problems.push({ field, message: isFileField(field) ? 'must be sent once' : 'is not a known file field' });
    content.on('error', () => undefined).resume();
  });
  try {
    await Promise.race([readThrough(request, parser), uploads.failed]);
    const empty = await uploads.received();
    problems.push(...empty.map((field) => ({ field, message: 'is an empty file' })));
  } catch (error) {
    request.unpipe(parser);
    parser.destroy();
    await uploads.discard();
    throw error;
  }
  return { fields, problems: [...problems, ...missingFiles(uploads, problems)], uploads };
}

function createParser(request: Request): busboy.Busboy {
  try {
    return busboy({ headers: request.headers, limits: formLimits, defParamCharset: 'utf8' });
  } catch (cause) {
    throw brokenForm(cause);
  }
}

/** Feeds the body to the parser until both are through. */
function readThrough(request: Request, parser: busboy.Busboy): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooMany = () => reject(new HttpError('request_invalid', 'The form has too many parts. Send one "video", one "audio" and each field once.'));
    parser.once('fieldsLimit', tooMany).once('filesLimit', tooMany).once('partsLimit', tooMany);
    parser.once('close', resolve);
    // Stays for as long as the parser lives: destroying it halfway makes it report once more.
    parser.on('error', (cause) => reject(brokenForm(cause)));
    request.once('error', (cause) => reject(brokenForm(cause)));
    request.once('close', () => {
      if (!request.complete) reject(brokenForm());
    });
    request.pipe(parser);
  });
}

function brokenForm(cause?: unknown): HttpError {
  return new HttpError('request_invalid', 'The multipart form is broken or was cut off. Send it again, whole.', { cause, httpStatus: 400 });
}

function refuseField(field: string, fields: ReadonlyMap<string, string>, truncated: boolean): string | undefined {
  if (isFileField(field)) return 'must be sent as a file';
  if (truncated) return `must be at most ${formLimits.fieldSize} bytes`;
  if (fields.has(field)) return 'must be sent once';
  return undefined;
}

function missingFiles(uploads: HeldUploads, problems: readonly FieldProblem[]): FieldProblem[] {
  return fileFields
    .filter((field) => !uploads.has(field) && !problems.some((problem) => problem.field === field))
    .map((field) => ({ field, message: 'is missing: send it as a file' }));
}

function isFileField(field: string): field is FileField {
  return fileFields.some((known) => known === field);
}
