import type { Request, Response } from 'express';
import type { z } from 'zod';
import {
  LipsyncError,
  type InputField,
  type InputReference,
  type JobInputs,
  type JobKind,
  type JobRecord,
} from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import { parseOptions, readFormValues } from '@lipsync/core/contract';
import type { IdempotentRequest } from './idempotency.ts';
import { readJsonFields } from './json-body.ts';
import { receiveForm, urlField, type FormFiles } from './multipart.ts';
import { HttpError, invalidFields, type FieldProblem } from './problem.ts';

export const maxUrlLength = 4_096;

/** What a request for a job holds. */
export interface BodyRules<Options> {
  readonly kind: JobKind;
  readonly files: FormFiles;
  readonly schema: z.ZodType<Options>;
  /** Throws for options that this installation cannot serve; for those of a form before its files are received. */
  checkOptions?(options: Options): void;
  /** Throws for a request that this installation refuses as a whole, once all of its fields are valid. */
  checkRequest?(options: Options): void;
}

export interface JobBody<Options> {
  readonly type: 'received';
  /** Every required input, and the optional ones that were sent. */
  readonly inputs: JobInputs;
  readonly options: Options;
}

/** An equal request has created a job; the files of this one are not stored. */
export interface RepeatedBody {
  readonly type: 'repeated';
  readonly record: JobRecord;
}

type BodyDependencies = Pick<
  ApiDependencies,
  'artifacts' | 'bodyTime' | 'checkUrl' | 'checkReceiver' | 'maxUploadBytes' | 'uploads'
> & {
  readonly idempotent: Pick<IdempotentRequest, 'findRepeated'> | undefined;
};

/**
 * Reads inputs and options of a request for a job, sent as a form with files or as JSON with URLs. Throws an error that
 * lists every problem; then no file of the request is stored.
 */
export async function readJobBody<Options extends object>(
  { request, response }: { readonly request: Request; readonly response: Response },
  rules: BodyRules<Options>,
  dependencies: BodyDependencies,
): Promise<JobBody<Options> | RepeatedBody> {
  if (request.is('multipart/form-data')) return readForm(request, rules, dependencies);
  if (request.is('application/json')) {
    const fields = await readJsonFields(request, response, dependencies.bodyTime);
    return readUrlFields(fields, rules, dependencies);
  }
  const { required } = rules.files;
  const [files, urls] = [required, required.map(urlField)].map((names) =>
    names.map((name) => `"${name}"`).join(' and '),
  );
  const noun = required.length === 1 ? 'file' : 'files';
  const message = `Send multipart/form-data with the ${noun} ${files}, or application/json with ${urls}.`;
  throw new HttpError('request_invalid', message, { httpStatus: 415 });
}

async function readForm<Options extends object>(
  request: Request,
  rules: BodyRules<Options>,
  { artifacts, bodyTime, checkReceiver, checkUrl, idempotent, maxUploadBytes, uploads: noted }: BodyDependencies,
): Promise<JobBody<Options> | RepeatedBody> {
  const form = await receiveForm(request, artifacts, {
    files: rules.files,
    maxFileBytes: maxUploadBytes,
    bodyTime,
    checkField: (field, text) => checkFieldAlone(rules, field, text),
  });
  const { uploads } = form;
  try {
    const refuseReceiver = await checkReceivers([form.fields.get(webhookField)], checkReceiver);
    const { options, urls } = parseFields(readFormValues(form.fields), rules, {
      checkUrl,
      refuseReceiver,
      problems: form.problems,
      requiredUrls: [],
    });
    const inputs = { ...urls, ...(await uploads.references()) };
    const record = await idempotent?.findRepeated({ kind: rules.kind, options, inputs });
    if (!record) {
      rules.checkRequest?.(options);
      await uploads.commit(noted);
      return { type: 'received', inputs, options };
    }
    await uploads.discard();
    return { type: 'repeated', record };
  } catch (error) {
    // Uploads that are neither committed nor discarded would never end.
    await uploads.discard();
    throw error;
  }
}

/** Throws for a field that this installation cannot serve. An invalid one is refused once the form is complete. */
function checkFieldAlone<Options>(
  { files, schema, checkOptions }: BodyRules<Options>,
  field: string,
  text: string,
): void {
  if (isUrlField(files)(field)) return;
  const { options } = parseOptions(readFormValues(new Map([[field, text]])), schema);
  if (options !== undefined) checkOptions?.(options);
}

/** As `parseJsonBody`, after a check of the receiver. A repeated request is found before it may be refused as a whole. */
export async function readUrlFields<Options extends object>(
  fields: ReadonlyMap<string, unknown>,
  { checkRequest, ...rules }: BodyRules<Options>,
  { checkReceiver, checkUrl, idempotent }: Pick<BodyDependencies, 'checkReceiver' | 'checkUrl' | 'idempotent'>,
): Promise<JobBody<Options> | RepeatedBody> {
  const refuseReceiver = await checkReceivers([fields.get(webhookField)], checkReceiver);
  const body = parseJsonBody(fields, rules, { checkUrl, refuseReceiver });
  const { options, inputs } = body;
  const record = checkRequest && (await idempotent?.findRepeated({ kind: rules.kind, options, inputs }));
  if (record) return { type: 'repeated', record };
  checkRequest?.(options);
  return body;
}

/** Parses a request with all inputs by URL, or only those named. Throws an error that lists every problem. */
export function parseJsonBody<Options>(
  fields: ReadonlyMap<string, unknown>,
  rules: BodyRules<Options>,
  { requiredUrls = rules.files.required, ...checks }: UrlChecks & Partial<Pick<FieldRules, 'requiredUrls'>>,
): JobBody<Options> {
  const { options, urls } = parseFields(fields, rules, { ...checks, problems: [], requiredUrls });
  rules.checkRequest?.(options);
  rules.checkOptions?.(options);
  return { type: 'received', inputs: urls, options };
}

/** How the URLs of a request are checked. */
export interface UrlChecks {
  readonly checkUrl: (url: string) => void;
  /** As `checkReceivers` returns it. */
  readonly refuseReceiver: (value: unknown) => readonly UrlRefusal[];
}

interface FieldRules extends UrlChecks {
  /** What is already known to be wrong with the request. */
  readonly problems: readonly FieldProblem[];
  /** Inputs that have no file. */
  readonly requiredUrls: readonly InputField[];
}

/** Options and URLs among the fields of a request. Throws an error that lists every problem. */
function parseFields<Options>(
  fields: ReadonlyMap<string, unknown>,
  { files: { required, optional }, schema }: BodyRules<Options>,
  { checkUrl, refuseReceiver, problems, requiredUrls }: FieldRules,
): { readonly options: Options; readonly urls: JobInputs } {
  const isUrl = isUrlField({ required, optional });
  const parsed = parseOptions(new Map([...fields].filter(([name]) => !isUrl(name))), schema);
  const given = [...required, ...optional].filter(
    (field) => requiredUrls.includes(field) || fields.has(urlField(field)),
  );
  const read = given.map((field) => [field, readUrl(urlField(field), fields.get(urlField(field)), checkUrl)] as const);
  const refusals = [
    ...read.flatMap(([, outcome]) => (outcome.kind === 'refused' ? [outcome] : [])),
    ...refuseReceiver(fields.get(webhookField)),
  ];
  const others = [...problems, ...parsed.problems];
  if (parsed.options !== undefined && refusals.length === 0 && others.length === 0)
    return { options: parsed.options, urls: Object.fromEntries(read) };
  throw invalidFields(
    'request',
    [...refusals.map(({ problem }) => problem), ...others],
    onlyForbidden(refusals, others) ? 'url_forbidden' : 'request_invalid',
  );
}

function isUrlField({ required, optional }: FormFiles): (name: string) => boolean {
  const names = [...required, ...optional].map(urlField);
  return (name) => names.includes(name);
}

/** Throws the error of `check` with the name of the field and what is wrong with it. */
export function requireSupported(field: string, check: () => void, problem = 'is not configured here'): void {
  try {
    check();
  } catch (cause) {
    if (!LipsyncError.isInstance(cause)) throw cause;
    throw new HttpError(cause.code, cause.message, { cause, fields: [{ field, message: problem }] });
  }
}

export interface UrlRefusal {
  readonly kind: 'refused';
  /** The URL is one that the service does not fetch or call. */
  readonly isForbidden: boolean;
  readonly problem: FieldProblem;
}

function readUrl(
  field: string,
  value: unknown,
  checkUrl: (url: string) => void,
): Extract<InputReference, { kind: 'url' }> | UrlRefusal {
  const refuse = (message: string, isForbidden = false): UrlRefusal => ({
    kind: 'refused',
    isForbidden,
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

/** Returns whether everything that is wrong with a request are URLs that the service does not fetch or call. */
function onlyForbidden(
  refusals: readonly { readonly isForbidden: boolean }[],
  others: readonly FieldProblem[],
): boolean {
  return others.length === 0 && refusals.every(({ isForbidden }) => isForbidden);
}

export const webhookField = 'webhook_url';

/** Throws `not_supported` for a request with a webhook where none are sent. */
export function checkWebhook({ webhookUrl }: { readonly webhookUrl?: string | undefined }, check: () => void): void {
  if (webhookUrl !== undefined) requireSupported(webhookField, check);
}

/**
 * Checks the receivers that a request names, each once. Returns a function that refuses those that must not be called.
 * Values that are not URLs are left to the schema.
 */
export async function checkReceivers(
  values: readonly unknown[],
  checkReceiver: BodyDependencies['checkReceiver'],
): Promise<UrlChecks['refuseReceiver']> {
  const refusals = new Map<unknown, UrlRefusal>();
  const isReceiver = (value: unknown): value is string =>
    typeof value === 'string' && /^https?:/i.test(value) && URL.canParse(value);
  await Promise.all(
    [...new Set(values.filter(isReceiver))].map(async (url) => {
      try {
        await checkReceiver(url);
      } catch (error) {
        if (!LipsyncError.isInstance(error)) throw error;
        const problem = { field: webhookField, message: error.message };
        refusals.set(url, { kind: 'refused', isForbidden: error.code === 'url_forbidden', problem });
      }
    }),
  );
  return (value) => {
    const refusal = refusals.get(value);
    return refusal ? [refusal] : [];
  };
}
