import type { Request } from 'express';
import type { ArtifactStore, InputField } from '@lipsync/core/host';
import type { BodyTimeLimits } from './body-time.ts';
import { readFormParts, type FormFields, type FormFile } from './form-reader.ts';
import { createPendingUploads, type PendingUploads, type UploadRules } from './pending-uploads.ts';
import type { FieldProblem } from './problem.ts';

const formLimits = { fields: 32, files: 4, parts: 40 };

/** The content of a form. The caller commits or discards the uploads. */
export interface ReceivedForm extends FormFields {
  readonly uploads: PendingUploads<InputField>;
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
export async function receiveForm(
  request: Request,
  artifacts: ArtifactStore,
  { files, bodyTime, checkField, ...rules }: FormRules,
): Promise<ReceivedForm> {
  const uploads = createPendingUploads<InputField>(artifacts, rules);
  const parts = {
    limits: formLimits,
    advice: sendOnly(files),
    isFile: (field: string | undefined) => isFileField(files, field),
    takeFile({ field, content, fileName }: FormFile) {
      if (!isFileField(files, field)) return 'is not a known file field';
      if (uploads.has(field)) return 'must be sent once';
      uploads.add(field, content, fileName);
      return undefined;
    },
    checkField,
  };
  try {
    const { fields, problems } = await readFormParts(request, parts, { bodyTime, failure: uploads.failure });
    const found = [...problems, ...(await uploads.waitForContent())];
    const received = { fields, problems: found, uploads };
    return { ...received, problems: [...found, ...missingFiles(received, files), ...sentTwice(received, files)] };
  } catch (error) {
    await uploads.discard();
    throw error;
  }
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
