import type { Request, Response } from 'express';
import { LipsyncError, type InputReference, type JobRecord } from '@lipsync/core/host';
import type { LipsyncOptions } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { readFormValues } from './form-values.ts';
import type { IdempotentRequest } from './idempotency.ts';
import { fileFields, type FileField } from './pending-uploads.ts';
import { readJsonFields } from './json-body.ts';
import { parseOptions } from './lipsync-options.ts';
import { receiveForm } from './multipart.ts';
import { HttpError, invalidFields, type FieldProblem } from './problem.ts';

const maxUrlLength = 4_096;

type Inputs = Readonly<Record<FileField, InputReference>>;

export interface LipsyncBody {
  readonly type: 'received';
  readonly inputs: Inputs;
  readonly options: LipsyncOptions;
}

/** An equal request has created a job; the files of this one are not stored. */
export interface RepeatedBody {
  readonly type: 'repeated';
  readonly record: JobRecord;
}

type BodyDependencies = Pick<
  ApiDependencies,
  'artifacts' | 'bodyTime' | 'checkMethod' | 'checkMinSyncScore' | 'checkUrl' | 'maxUploadBytes' | 'optionsSchema'
> & { readonly idempotent?: Pick<IdempotentRequest, 'findRepeated'> | undefined };

const urlFields = fileFields.map((name) => `${name}_url`);

/**
 * Reads inputs and options of a lip-sync request, sent as a form with files or as JSON with URLs. Throws an error that
 * lists every problem; then no file of the request is stored.
 */
export async function readLipsyncBody(
  request: Request,
  response: Response,
  dependencies: BodyDependencies,
): Promise<LipsyncBody | RepeatedBody> {
  if (request.is('multipart/form-data')) return readForm(request, dependencies);
  if (request.is('application/json'))
    return readJson(await readJsonFields(request, response, dependencies.bodyTime), dependencies);
  throw new HttpError(
    'request_invalid',
    'Send multipart/form-data with the files "video" and "audio", or application/json with "video_url" and "audio_url".',
    { httpStatus: 415 },
  );
}

async function readForm(
  request: Request,
  { artifacts, bodyTime, checkMethod, checkMinSyncScore, idempotent, maxUploadBytes, optionsSchema }: BodyDependencies,
): Promise<LipsyncBody | RepeatedBody> {
  const { fields, problems, uploads } = await receiveForm(request, artifacts, {
    maxFileBytes: maxUploadBytes,
    isHashed: idempotent !== undefined,
    bodyTime,
    checkField: (field, text) => {
      if (field === 'method') requireSupported(field, () => checkMethod(text));
      // Before the files are received, whatever the value: the schema refuses one that is invalid.
      if (field === 'min_sync_score') requireSupported(field, () => checkMinSyncScore({ minSyncScore: 1 }));
    },
  });
  try {
    const options = new Map([...fields].filter(([name]) => !urlFields.includes(name)));
    const urls = [...fields.keys()].filter((name) => urlFields.includes(name)).map(urlInForm);
    const parsed = parseOptions(readFormValues(options), optionsSchema);
    const all = [...problems, ...urls, ...parsed.problems];
    if (parsed.options === undefined || all.length > 0) throw invalidFields('request', all);
    const { options: values } = parsed;
    const record = await idempotent?.findRepeated({
      kind: 'lipsync',
      options: values,
      inputs: await uploads.references(),
    });
    if (!record) return { type: 'received', inputs: await uploads.commit(), options: values };
    await uploads.discard();
    return { type: 'repeated', record };
  } catch (error) {
    // Uploads that are neither committed nor discarded would never end.
    await uploads.discard();
    throw error;
  }
}

function readJson(
  fields: Map<string, unknown>,
  { checkMethod, checkMinSyncScore, checkUrl, optionsSchema }: BodyDependencies,
): LipsyncBody {
  const parsed = parseOptions(new Map([...fields].filter(([name]) => !urlFields.includes(name))), optionsSchema);
  const [video, audio] = urlFields.map((name) => readUrl(name, fields.get(name), checkUrl));
  const refusals = [video, audio].filter((outcome): outcome is UrlRefusal => outcome?.kind === 'refused');
  if (parsed.options === undefined || video?.kind !== 'url' || audio?.kind !== 'url') {
    throw invalidFields(
      'request',
      [...refusals.map(({ problem }) => problem), ...parsed.problems],
      onlyForbidden(refusals, parsed.problems) ? 'url_forbidden' : 'request_invalid',
    );
  }
  const { options } = parsed;
  requireSupported('method', () => checkMethod(options.method));
  requireSupported('min_sync_score', () => checkMinSyncScore(options));
  return { type: 'received', inputs: { video, audio }, options };
}

/** Throws the error of `check` with the name of the field. */
function requireSupported(field: string, check: () => void): void {
  try {
    check();
  } catch (cause) {
    if (!LipsyncError.isInstance(cause)) throw cause;
    throw new HttpError(cause.code, cause.message, {
      cause,
      fields: [{ field, message: 'is not configured here' }],
    });
  }
}

interface UrlRefusal {
  readonly kind: 'refused';
  readonly forbidden: boolean;
  readonly problem: FieldProblem;
}

function readUrl(
  field: string,
  value: unknown,
  checkUrl: (url: string) => void,
): Extract<InputReference, { kind: 'url' }> | UrlRefusal {
  const refuse = (message: string, forbidden = false): UrlRefusal => ({
    kind: 'refused',
    forbidden,
    problem: { field, message },
  });
  if (value === undefined) return refuse('is missing');
  if (typeof value !== 'string') return refuse('must be a string');
  if (value.length > maxUrlLength) return refuse(`must be at most ${maxUrlLength} characters long`);
  try {
    checkUrl(value);
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
    return refuse(error.message, error.code === 'url_forbidden');
  }
  return { kind: 'url', url: value };
}

function urlInForm(field: string): FieldProblem {
  return { field, message: 'cannot be sent in a form: send both URLs as application/json' };
}

function onlyForbidden(refusals: readonly UrlRefusal[], others: readonly FieldProblem[]): boolean {
  return others.length === 0 && refusals.every(({ forbidden }) => forbidden);
}
