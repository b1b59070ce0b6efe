import { z } from 'zod';
import { isOfKind, requireKind, type RequestKind } from '@lipsync/core/host';
import type { ApiDependencies } from '../dependencies.ts';
import type { Caller } from '../http/access.ts';
import { readKey, toIdempotentRequest, type IdempotentRequest } from '../http/idempotency.ts';
import { readUrlFields } from '../http/job-body.ts';
import { invalidFields } from '../http/problem.ts';
import { parseQuery } from '../http/parse-query.ts';
import { urlRequestSchema } from '../reference/job-documentation.ts';
import { costQuery, readCosts } from '../routes/costs.ts';
import { findJob, unknownJob, type JobResource, type Sender } from '../routes/job-resource.ts';
import { acceptJob } from '../routes/job-routes.ts';
import { lipsyncResource } from '../routes/lipsync-resource.ts';
import { qualityResource } from '../routes/quality-resource.ts';

/** Who calls a tool, and with which request. */
export interface ToolCall {
  readonly caller: Caller;
  readonly sender: Sender;
  readonly fields: ReadonlyMap<string, unknown>;
}

/** A tool of the MCP server. It does what a route does, with the same checks. */
export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: z.ZodObject;
  readonly createsJobs: boolean;
  /** Ends work that runs. */
  readonly isDestructive?: boolean;
  /** Returns the result as the route responds. Throws as the route does. */
  run(call: ToolCall): Promise<object>;
}

export const idempotencyKey = z
  .string()
  .min(1)
  .max(255)
  .optional()
  .describe(
    'A text of your choice, such as a UUID. A call that is repeated with it within 24 hours creates no second job.',
  );

const jobId = z.strictObject({ id: z.string().describe('Id of the job.') });

/** The tools for single jobs, each beside the route with the same work. */
export function createTools(dependencies: ApiDependencies): readonly Tool[] {
  const lipsync = lipsyncResource(dependencies);
  const quality = qualityResource(dependencies);
  return [
    {
      name: 'generate',
      title: 'Make a lip-sync video',
      description:
        'Starts a job that makes the person in a video (or still image) speak a recording, and returns it at once. It may cost ' +
        'money: limit it by max_cost_usd. Inputs are public http(s) URLs of the files themselves. Call status with the id until ' +
        'the status is completed, failed or canceled; then output_url is the address of the MP4, which needs the same key.',
      arguments: argumentsOf(lipsync),
      createsJobs: true,
      run: (call) => create(dependencies, lipsync, call),
    },
    {
      name: 'quality',
      title: 'Measure a video',
      description:
        'Starts a job that measures how well lips, picture and sound of a video fit together, and returns it at once. It costs ' +
        'nothing. Call status with the id for the result.',
      arguments: argumentsOf(quality),
      createsJobs: true,
      run: (call) => create(dependencies, quality, call),
    },
    {
      name: 'status',
      title: 'Show a job',
      description:
        'Returns a job of generate or quality: status, progress, message, cost, quality, warnings and error.',
      arguments: jobId,
      createsJobs: false,
      run: (call) => showJob(dependencies.store, { lipsync, quality }, call),
    },
    {
      name: 'costs',
      title: 'Show costs',
      description: 'Returns spent and reserved USD of the key; by default of the current month by day (UTC).',
      arguments: costQuery,
      createsJobs: false,
      run: ({ caller, fields }) => readCosts(dependencies, Object.fromEntries(fields), caller),
    },
  ];
}

function argumentsOf<Kind extends RequestKind>({ documentation, rules }: JobResource<Kind>): z.ZodObject {
  return urlRequestSchema(documentation, rules.files).extend({ idempotency_key: idempotencyKey });
}

/** Splits the key off the arguments of a tool. Throws `request_invalid` for one of another format. */
export function readIdempotency(
  jobs: ApiDependencies['jobs'],
  { fields, sender }: Pick<ToolCall, 'fields' | 'sender'>,
): { readonly request: ReadonlyMap<string, unknown>; readonly idempotent: IdempotentRequest | undefined } {
  const { idempotency_key: text, ...request } = Object.fromEntries(fields);
  const key = typeof text === 'string' ? readKey(text, sender.owner) : undefined;
  if (text !== undefined && key === undefined)
    throw invalidFields('request', [{ field: 'idempotency_key', message: 'must be text' }]);
  return { request: new Map(Object.entries(request)), idempotent: key && toIdempotentRequest(key, jobs) };
}

/** Creates a job as the route does for a body with URLs. Files cannot be named. */
async function create<Kind extends RequestKind>(
  dependencies: ApiDependencies,
  resource: JobResource<Kind>,
  call: ToolCall,
): Promise<object> {
  const { kind, rules, view } = resource;
  const { request, idempotent } = readIdempotency(dependencies.jobs, call);
  const body = await readUrlFields(request, rules, { ...dependencies, idempotent });
  if (body.type === 'repeated') return view(requireKind(body.record, kind));
  const { options, inputs } = body;
  const claim = idempotent?.claim({ kind, options, inputs });
  const { record } = await acceptJob({ dependencies, resource }, { body, sender: call.sender, claim });
  return view(requireKind(record, kind));
}

async function showJob(
  store: ApiDependencies['store'],
  { lipsync, quality }: { readonly lipsync: JobResource<'lipsync'>; readonly quality: JobResource<'quality'> },
  { caller, fields }: ToolCall,
): Promise<object> {
  const { id } = parseQuery(jobId, Object.fromEntries(fields));
  const record = await findJob(store, id, caller);
  if (record && isOfKind(record, 'lipsync')) return lipsync.view(record);
  if (record && isOfKind(record, 'quality')) return quality.view(record);
  throw unknownJob();
}
