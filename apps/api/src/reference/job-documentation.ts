import { storeErrorCodes, type ErrorCode } from '@lipsync/core/host';
import { z } from 'zod';
import type { FormFiles } from '../http/multipart.ts';
import {
  documentEventStream,
  idempotencyKeyHeader,
  jobIdPath,
  jsonResponse,
  type Content,
  type Example,
  type ResponseDocumentation,
  type RouteDocumentation,
} from './documentation.ts';

/** What the reference states about one kind of job. */
export interface JobDocumentation {
  readonly tag: RouteDocumentation['tag'];
  /** Part of the operation ids, such as `LipsyncJob`. */
  readonly name: string;
  /** The job in a sentence, such as `lip-sync job`. */
  readonly noun: string;
  readonly createDescription: string;
  /** Error codes of its requests beyond those of every kind. */
  readonly refusals?: readonly ErrorCode[];
  /** The optional fields of a request, in HTTP spelling. */
  readonly options: z.ZodObject;
  /** What each input is. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly view: z.ZodType;
  readonly page: z.ZodType;
  readonly formExamples: Readonly<Record<string, Example>>;
  readonly jsonExamples: Readonly<Record<string, Example>>;
  readonly queued: unknown;
  readonly ended: unknown;
}

type JobRoute = 'create' | 'list' | 'show' | 'events' | 'cancel' | 'retry' | 'delete';

/** Documents the routes of one kind of job. Pure. */
export function documentJobRoutes(
  job: JobDocumentation,
  { files, query }: { readonly files: FormFiles; readonly query: z.ZodObject },
): Readonly<Record<JobRoute, RouteDocumentation>> {
  const { tag, name, noun, view, page } = job;
  const ofJob = { tag, parameters: { path: jobIdPath } };
  const queued = { queued: { summary: 'A new job', value: job.queued } };
  const ended = { completed: { summary: 'A completed job', value: job.ended } };
  return {
    create: documentCreate(job, files),
    list: {
      operationId: `list${name}s`,
      tag,
      summary: `List ${noun}s, newest first`,
      description:
        'Lists the jobs of your key; an admin key lists those of all keys. A page may be short or empty and still have a `next_cursor`.',
      parameters: { query },
      responses: { 200: jsonResponse('A page of jobs.', page) },
      problems: { 422: ['request_invalid'] },
    },
    show: {
      ...ofJob,
      operationId: `get${name}`,
      summary: `Show a ${noun}`,
      responses: { 200: jsonResponse('The job.', view, { ...queued, ...ended }) },
      problems: { 404: ['not_found'] },
    },
    events: documentEvents(job),
    cancel: {
      ...ofJob,
      operationId: `cancel${name}`,
      summary: `Cancel a ${noun}`,
      description:
        'A waiting job is canceled at once. A running job is canceled when a worker has stopped it, including an operation at a provider.',
      responses: { 202: jsonResponse('The job, which may still run.', view, queued) },
      problems: { 404: ['not_found'], 409: ['canceled'] },
    },
    retry: {
      ...ofJob,
      operationId: `retry${name}`,
      summary: `Run a failed ${noun} again`,
      description:
        'Runs the job again with its stored inputs and its options, under the same id. Nothing is paid for twice. The request may be repeated.',
      responses: { 202: jsonResponse('The job, which runs again.', view, queued) },
      problems: { 404: ['not_found'], 409: ['conflict'], 410: ['inputs_gone'], 503: storeErrorCodes },
    },
    delete: {
      ...ofJob,
      operationId: `delete${name}`,
      summary: `Erase a ${noun}`,
      description:
        'Erases the record, the output, and the inputs that no other job names. A running job is canceled first.',
      responses: {
        202: jsonResponse('The job still runs. It is erased after it has stopped.', view, queued),
        204: { description: 'The job is erased.' },
      },
      problems: { 404: ['not_found'], 503: ['storage_unwritable', ...storeErrorCodes] },
    },
  };
}

const file = (description: string) =>
  z.custom<Blob>(() => true).meta({ type: 'string', format: 'binary', description });
/** An address of an input. */
export const urlSchema = (description: string) =>
  z
    .string()
    .max(4_096)
    .meta({ format: 'uri', description: `Public http or https address. ${description}` });

/** The inputs of a request as parameters with this suffix: required ones, and optional ones. */
function describeInputs(
  { inputs }: JobDocumentation,
  { required, optional }: FormFiles,
  { suffix, schemaOf }: { readonly suffix: '' | '_url'; readonly schemaOf: (description: string) => z.ZodType },
): Record<string, z.ZodType> {
  return {
    ...Object.fromEntries(required.map((field) => [`${field}${suffix}`, schemaOf(inputs[field] ?? '')])),
    ...Object.fromEntries(optional.map((field) => [`${field}${suffix}`, schemaOf(inputs[field] ?? '').optional()])),
  };
}

/** A request whose inputs are addresses. */
export function urlRequestSchema(job: JobDocumentation, files: FormFiles): z.ZodObject {
  return z.strictObject({
    ...describeInputs(job, files, { suffix: '_url', schemaOf: urlSchema }),
    ...job.options.shape,
  });
}

function documentCreate(job: JobDocumentation, files: FormFiles): RouteDocumentation {
  const body: Record<string, Content> = {
    'multipart/form-data': {
      schema: z
        .strictObject({
          ...z.object(describeInputs(job, files, { suffix: '', schemaOf: file })).partial().shape,
          ...z.object(describeInputs(job, files, { suffix: '_url', schemaOf: urlSchema })).partial().shape,
          ...job.options.shape,
        })
        .meta({
          id: `${job.name}Form`,
          description: 'A file or an address per input, and fields. Objects are sent as JSON.',
          allOf: files.required.map((field) => ({ oneOf: [{ required: [field] }, { required: [`${field}_url`] }] })),
        }),
      examples: job.formExamples,
    },
    'application/json': {
      schema: urlRequestSchema(job, files).meta({
        id: `${job.name}Request`,
        description: 'Addresses and fields, up to 64 KiB.',
      }),
      examples: job.jsonExamples,
    },
  };
  return {
    operationId: `create${job.name}`,
    tag: job.tag,
    summary: `Create a ${job.noun}`,
    description: job.createDescription,
    parameters: { header: idempotencyKeyHeader },
    body,
    responses: { 202: createdResponse(job) },
    problems: {
      ...createProblems,
      422: ['request_invalid', 'url_forbidden', ...(job.refusals ?? []), 'not_supported', 'idempotency_mismatch'],
    },
  };
}

/** Headers of a response to a request that creates something. */
export const createdHeaders = z.object({
  Location: z.string().describe('Address of what was created.'),
  'Idempotent-Replayed': z.literal('true').optional().describe('Present if an equal earlier request created it.'),
});

function createdResponse({ view, queued }: JobDocumentation): ResponseDocumentation {
  return {
    ...jsonResponse('The new job, or that of an equal earlier request with the same `Idempotency-Key`.', view, {
      queued: { summary: 'A new job', value: queued },
    }),
    headers: createdHeaders,
  };
}

const createProblems: Readonly<Record<number, readonly ErrorCode[]>> = {
  400: ['request_invalid'],
  408: ['request_invalid'],
  409: ['idempotency_in_progress'],
  413: ['payload_too_large'],
  415: ['request_invalid'],
  503: ['storage_unwritable', ...storeErrorCodes],
};

function documentEvents({ name, noun, tag, ended }: JobDocumentation): RouteDocumentation {
  return {
    operationId: `follow${name}`,
    tag,
    summary: `Follow a ${noun}`,
    description: [
      'Sends server-sent events: `progress` whenever the job changes, then one of `completed`, `failed` and `canceled`, and ends.',
      `The data of each event is the job (\`${name}\`). The first event shows the current state.`,
      'A client that reconnects with `Last-Event-ID` receives newer events only.',
    ].join(' '),
    ...documentEventStream(jobIdPath, {
      summary: 'The last event of a job',
      value: `event: completed\nid: 7\ndata: ${JSON.stringify(ended)}\n\n`,
    }),
  };
}
