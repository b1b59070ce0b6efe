import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiContentObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiResponseObject,
} from 'zod-openapi';
import { problemViewSchema } from '@lipsync/core/contract';
import type { ErrorCode } from '@lipsync/core/host';
import type { Route } from '../routes/route.ts';
import { readVersion } from './version.ts';
import { documentWebhooks } from './webhook-documentation.ts';
import { tagDescriptions, type Content, type RouteDocumentation } from './documentation.ts';

export type OpenApiDocument = ReturnType<typeof createDocument>;

interface DocumentOptions {
  /** Prefix of the routes; empty for the address of the document. */
  readonly publicBaseUrl: string;
  readonly hasKeys: boolean;
}

/** Creates the OpenAPI document of routes. Pure, except that it reads the version of the package. */
export function createOpenApiDocument(
  routes: readonly Route[],
  { publicBaseUrl, hasKeys }: DocumentOptions,
): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: describeOperation(route, hasKeys) };
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Lipsync',
      version: readVersion(),
      description: 'A clip and a speech recording go in; the clip speaking the recording comes out.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: publicBaseUrl === '' ? '/' : publicBaseUrl }],
    tags: Object.entries(tagDescriptions).map(([name, description]) => ({ name, description })),
    paths,
    webhooks: documentWebhooks(),
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'A secret of `LIPSYNC_API_KEYS`.' },
        password: { type: 'http', scheme: 'basic', description: 'Any user name, and a secret as the password.' },
      },
    },
  });
}

function describeOperation(
  { method, path, documentation, access }: Route,
  hasKeys: boolean,
): ZodOpenApiOperationObject {
  const needsKey = hasKeys && access !== 'open';
  const { operationId, tag, summary, description, parameters, body } = documentation;
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters && { requestParams: parameters }),
    ...(body && { requestBody: { required: true, content: describeContent(body) } }),
    security: needsKey ? [{ key: [] }, ...(access === 'browser' ? [{ password: [] }] : [])] : [],
    responses: mergeResponses(
      describeProblems(documentation, { needsKey, hasKeys, hasParameters: path.includes(':') }),
      describeResponses(documentation),
      method === 'get' ? describeUnchanged(documentation) : {},
    ),
  };
}

type Responses = Record<string, ZodOpenApiResponseObject>;

const requestIdHeader = { 'X-Request-Id': z.string().describe('The id of the request, or one that the service made.') };

function describeResponses({ responses }: RouteDocumentation): Responses {
  return Object.fromEntries(
    Object.entries(responses).map(([status, { description, headers, content }]) => [
      status,
      {
        description,
        headers: z.object({ ...headers?.shape, ...requestIdHeader }),
        ...(content && { content: describeContent(content) }),
      },
    ]),
  );
}

/** A status may answer with a problem or with another body. */
function mergeResponses(...parts: readonly Responses[]): Responses {
  const merged: Responses = {};
  for (const [status, response] of parts.flatMap((part) => Object.entries(part))) {
    const first = merged[status];
    merged[status] = first
      ? {
          ...first,
          ...response,
          description: `${response.description} ${first.description}`,
          content: { ...first.content, ...response.content },
        }
      : response;
  }
  return merged;
}

/** Media types of responses without an `ETag`, because their bodies are made while they are sent. */
const streamedTypes = ['text/event-stream', 'application/zip'];

/** Every body that is sent as a whole has an `ETag`. */
function describeUnchanged({ responses }: RouteDocumentation): Responses {
  const content = responses[200]?.content ?? {};
  if (streamedTypes.some((type) => content[type])) return {};
  return { 304: { description: 'Not changed since the `ETag` that `If-None-Match` names.' } };
}

function describeContent(contents: Readonly<Record<string, Content>>): ZodOpenApiContentObject {
  return Object.fromEntries(Object.entries(contents).map(([mediaType, content]) => [mediaType, { ...content }]));
}

function describeProblems(
  { problems = {} }: RouteDocumentation,
  {
    needsKey,
    hasKeys,
    hasParameters,
  }: { readonly needsKey: boolean; readonly hasKeys: boolean; readonly hasParameters: boolean },
): Responses {
  const common: Record<number, readonly ErrorCode[]> = {
    ...(needsKey ? { 401: ['unauthorized'], 429: ['too_many_requests'] } : {}),
    ...(hasKeys ? {} : { 403: ['forbidden'] }),
    // Also for a parameter that is not encoded for a URL.
    ...(hasParameters ? { 404: ['not_found'] } : {}),
    500: ['internal'],
    503: ['resource_exhausted'],
  };
  const statuses = new Set([...Object.keys(problems), ...Object.keys(common)].map(Number));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const codes = [...new Set([...(problems[status] ?? []), ...(common[status] ?? [])])];
      return [status, describeProblem(codes)];
    }),
  );
}

function describeProblem(codes: readonly ErrorCode[]): ZodOpenApiResponseObject {
  return {
    description: `Problem with the code ${codes.map((code) => `\`${code}\``).join(' or ')}.`,
    headers: z.object(requestIdHeader),
    content: { 'application/problem+json': { schema: problemViewSchema } },
    'x-problem-codes': codes,
  };
}
