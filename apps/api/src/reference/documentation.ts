import { z } from 'zod';
import type { ErrorCode } from '@lipsync/core/host';

/** Groups of routes, in the order of the reference. */
export const tagDescriptions = {
  'Lip-sync jobs': 'Make a video in which the person of a clip speaks a recording.',
  Batches: 'Make up to 500 videos with one request.',
  'Quality jobs': 'Measure any video, made here or elsewhere.',
  Webhooks: 'Deliveries of the ends of jobs to the `webhook_url` of a request.',
  Planning: 'Providers, estimates and costs.',
  'Language models': 'The Model Context Protocol.',
  Operations: 'Health, metrics and this reference.',
  'Vendor callbacks': 'Addresses that vendors call. Clients do not use them.',
} as const;

export interface Example {
  readonly summary: string;
  /** A file of a form is the name of a sample file. */
  readonly value: unknown;
}

/** A body of one media type. */
export interface Content {
  readonly schema: z.ZodType;
  readonly examples?: Readonly<Record<string, Example>>;
}

export interface ResponseDocumentation {
  readonly description: string;
  readonly headers?: z.ZodObject;
  /** By media type; absent for a response without a body. */
  readonly content?: Readonly<Record<string, Content>>;
}

/** What the reference states about a route. The schemas are those that validate the request and type the response. */
export interface RouteDocumentation {
  /** Unique name of the operation; generated clients name their methods after it. */
  readonly operationId: string;
  readonly tag: keyof typeof tagDescriptions;
  /** One line without a period. */
  readonly summary: string;
  /** Markdown. */
  readonly description?: string;
  /** Parameters; those of `path` are the names in the path of the route. */
  readonly parameters?: {
    readonly path?: z.ZodObject;
    readonly query?: z.ZodObject;
    readonly header?: z.ZodObject;
  };
  /** Request body by media type. */
  readonly body?: Readonly<Record<string, Content>>;
  /** Responses that are no problem, by HTTP status. */
  readonly responses: Readonly<Record<number, ResponseDocumentation>>;
  /** Error codes by HTTP status, in addition to those of every route. */
  readonly problems?: Readonly<Record<number, readonly ErrorCode[]>>;
}

/** A JSON response. */
export function jsonResponse(
  description: string,
  schema: z.ZodType,
  examples?: Content['examples'],
): ResponseDocumentation {
  return { description, content: { 'application/json': { schema, ...(examples && { examples }) } } };
}

/** The body of a response that is a file. */
export const fileContent: Content = {
  schema: z.custom<Blob>(() => true).meta({ type: 'string', format: 'binary' }),
};

export const jobIdPath = idPath('job', 'job_0mij3f4kz0c8f3a6e1d2b4a59687f');
export const batchIdPath = idPath('batch', 'batch_0mij3f4kz0c8f3a6e1d2b4a59687f');
export const deliveryIdPath = idPath('delivery', 'msg_job_0mij3f4kz0c8f3a6e1d2b4a59687f_0');

export const receiverIdPath = idPath('receiver', 'Zl0yKqv9Zt1rTq7mZp1b8nY3oW2cVf5xJ6hGdEaLsUk');

/** The parameter `:id` of routes. */
function idPath(what: string, example: string) {
  return z.object({ id: z.string().meta({ description: `Id of the ${what}.`, examples: [example] }) });
}

/** What the event streams of jobs and batches have in common: parameters, responses and problems. */
export function documentEventStream(
  path: z.ZodObject,
  lastEvent: Example,
): Pick<RouteDocumentation, 'parameters' | 'responses' | 'problems'> {
  return {
    parameters: {
      path,
      header: z.object({
        'Last-Event-ID': z.string().optional().describe('Id of the last event that the client received.'),
      }),
    },
    responses: {
      200: {
        description: 'The events.',
        content: { 'text/event-stream': { schema: z.string(), examples: { completed: lastEvent } } },
      },
      204: { description: 'The client has received the last event.' },
    },
    problems: { 404: ['not_found'] },
  };
}

/** The header of routes that create something. */
export const idempotencyKeyHeader = z.object({
  'Idempotency-Key': z
    .string()
    .regex(/^"?[\x20-\x7e]{1,255}"?$/)
    .optional()
    .meta({
      description:
        'Makes it safe to repeat the request: for 24 hours, equal requests with the same key of your choice create one job.',
      examples: ['f8d6b2a4-6d0c-4d43-9a37-9f6f4f2c51b7'],
    }),
});
