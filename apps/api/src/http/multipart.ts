import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { Request } from 'express';
import type { Readable } from 'node:stream';
import type { ArtifactStore, InputField } from '@lipsync/core/host';
import { watchFormRate, type BodyTimeLimits } from './body-time.ts';
import { createPendingUploads, type PendingUploads, type UploadRules } from './pending-uploads.ts';
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

/** The files that a form must have, and those that it may have. */
export interface FormFiles {
  readonly required: readonly InputField[];
  readonly optional: readonly InputField[];
}

export interface FormRules extends UploadRules {
  readonly files: FormFiles;
  readonly bodyTime: BodyTimeLimits;
  /** Throws to refuse the form before the rest of it is read. */
  readonly checkField: (field: string, text: string) => void;
}

/**
 * Reads a multipart form; streams its files into the artifact store without committing them. The files of the rules may
 * come without a file name.
 * Throws `request_invalid` (400) for a broken form, (408) for one that arrives too slowly, `payload_too_large` for a
 * file above the limit, and what `checkField` throws; then none of the files is stored.
 */
export async function receiveForm(request: Request, artifacts: ArtifactStore, rules: FormRules): Promise<ReceivedForm> {
  const parser = createParser(request, rules.files);
  const uploads = createPendingUploads(artifacts, rules);
  const refusal = Promise.withResolvers<never>();
  const { fields, problems } = collectParts(parser, uploads, rules, refusal.reject);
  const isBusy = (): boolean => request.complete || parser.writableNeedDrain;
  const stopWatching = watchFormRate(request, rules.bodyTime, { isBusy, onSlow: refusal.reject });
  try {
    await Promise.race([pipeInto(request, parser, rules.files), uploads.failure, refusal.promise]);
    problems.push(...(await uploads.waitForContent()));
  } catch (error) {
    request.unpipe(parser);
    parser.destroy();
    await uploads.discard();
    throw error;
  } finally {
    stopWatching();
  }
  const inputProblems = [
    ...missingFiles({ uploads, fields, problems }, rules.files),
    ...sentTwice({ uploads, fields }, rules.files),
  ];
  return { fields, problems: [...problems, ...inputProblems], uploads };
}

/** Collects fields and files as they arrive; calls `refuse` with an error that ends the form immediately. */
function collectParts(
  parser: BusboyInstance,
  uploads: PendingUploads,
  { checkField, files }: Pick<FormRules, 'checkField' | 'files'>,
  refuse: (error: unknown) => void,
): { readonly fields: ReadonlyMap<string, string>; readonly problems: FieldProblem[] } {
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
      if (isFileField(files, field) && !uploads.has(field)) return uploads.add(field, content, fileName);
      problems.push({ field, message: isFileField(files, field) ? 'must be sent once' : 'is not a known file field' });
    }
    discardFile(content, () =>
      refuse(
        new HttpError('request_invalid', `The form has an unexpected file. ${sendOnly(files)} and no other.`, {
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

function createParser({ headers }: Request, files: FormFiles): BusboyInstance {
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      limits: formLimits,
      // Clients that send bytes instead of a file on disk often leave the file name out.
      isPartAFile: (name, type, fileName) =>
        fileName !== undefined || type === 'application/octet-stream' || isFileField(files, name),
    });
  } catch (cause) {
    throw brokenForm(cause);
  }
}

/** Pipes the body into the parser until both have ended. */
function pipeInto(request: Request, parser: BusboyInstance, files: FormFiles): Promise<void> {
  return new Promise((resolve, reject) => {
    const tooMany = () =>
      reject(new HttpError('request_invalid', `The form has too many parts. ${sendOnly(files)} and each field once.`));
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
  if (valueTruncated) return `must be at most ${formLimits.fieldSize} bytes`;
  if (fields.has(field)) return 'must be sent once';
  // The parser replaces invalid bytes by this character, which a caller has no reason to send.
  return value.includes('\ufffd') ? 'is not valid UTF-8' : undefined;
}

/** The field that takes the URL of an input instead of its file. */
export function urlField(field: InputField): string {
  return `${field}_url`;
}

function missingFiles({ uploads, fields, problems }: ReceivedForm, { required }: FormFiles): FieldProblem[] {
  return required
    .filter((field) => !uploads.has(field) && !fields.has(urlField(field)))
    .filter((field) => !problems.some((problem) => problem.field === field))
    .map((field) => ({ field, message: `is missing: send it as a file, or its URL as "${urlField(field)}"` }));
}

function sentTwice(
  { uploads, fields }: Pick<ReceivedForm, 'uploads' | 'fields'>,
  { required, optional }: FormFiles,
): FieldProblem[] {
  return [...required, ...optional]
    .filter((field) => uploads.has(field) && fields.has(urlField(field)))
    .map((field) => ({ field: urlField(field), message: `cannot be sent together with the file "${field}"` }));
}

function isFileField({ required, optional }: FormFiles, field: string | undefined): field is InputField {
  return [...required, ...optional].some((known) => known === field);
}

function sendOnly({ required, optional }: FormFiles): string {
  const parts = [...required.map((field) => `one "${field}"`), ...optional.map((field) => `at most one "${field}"`)];
  return `Send ${parts.join(', ')}`;
}
