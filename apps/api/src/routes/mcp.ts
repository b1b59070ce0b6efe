import type { Request, RequestHandler, Response } from 'express';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, requireKnownOrigin } from '../http/access.ts';
import { readMessageFields } from '../http/json-body.ts';
import { runHandler } from '../http/mount-routes.ts';
import { limitRate } from '../http/rate-limit.ts';
import { createBatchTools } from '../mcp/batch-tools.ts';
import { createMcpServer } from '../mcp/mcp-server.ts';
import { createTools, type Tool } from '../mcp/tools.ts';
import { readVersion } from '../reference/version.ts';
import { jsonResponse } from '../reference/documentation.ts';
import { senderOf } from './job-resource.ts';
import type { Route } from './route.ts';

/** The Model Context Protocol for language models: streamable HTTP without sessions, one message per request. */
export function mcpRoutes(dependencies: ApiDependencies): readonly Route[] {
  const { keys, corsOrigins, publicBaseUrl, rateLimit } = dependencies;
  const hasKeys = keys.length > 0;
  const server: McpRoute = {
    dependencies,
    tools: [...createTools(dependencies), ...createBatchTools(dependencies)],
    // Without keys every request is checked already.
    checkOrigin: hasKeys ? requireKnownOrigin(corsOrigins, publicBaseUrl) : undefined,
    limitCreation: hasKeys ? limitRate('creating', rateLimit) : undefined,
  };
  return [
    {
      method: 'post',
      path: '/mcp',
      documentation: {
        operationId: 'callMcp',
        tag: 'Language models',
        summary: 'Send a message of the Model Context Protocol',
        description:
          'Streamable HTTP without sessions, with the tools `generate`, `quality`, `status`, `batch`, `batch_status`, `cancel_batch` and `costs`. Use an MCP client.',
        body: {
          'application/json': {
            schema: messageSchema,
            examples: { list: listExample, initialized: notificationExample },
          },
        },
        responses: {
          200: jsonResponse('The response.', answerSchema),
          202: { description: 'A notification is accepted.' },
          400: jsonResponse('The message is none of JSON-RPC, or its protocol version is not supported.', answerSchema),
        },
        problems: {
          400: ['request_invalid'],
          403: ['forbidden'],
          408: ['request_invalid'],
          413: ['payload_too_large'],
          415: ['request_invalid'],
        },
      },
      handle: (request, response) => answerMessage(server, request, response),
    },
  ];
}

const messageSchema = z.looseObject({
  jsonrpc: z.literal('2.0').describe('Version of JSON-RPC.'),
  method: z.string().describe('Method of the protocol, such as `tools/call`.'),
});
const answerSchema = z
  .strictObject({
    jsonrpc: z.literal('2.0').describe('Version of JSON-RPC.'),
    id: z.union([z.string(), z.number(), z.null()]).describe('That of the message.'),
    result: z.record(z.string(), z.unknown()).optional().describe('As the method defines it.'),
    error: z
      .strictObject({
        code: z.int().describe('Code of JSON-RPC.'),
        message: z.string().describe('The reason.'),
        data: z.unknown().optional().describe('Details.'),
      })
      .optional()
      .describe('Why the method failed.'),
  })
  .meta({ id: 'McpResponse', description: 'A response of the Model Context Protocol.' });
const notificationExample = {
  summary: 'A notification',
  value: { jsonrpc: '2.0', method: 'notifications/initialized' },
};
const listExample = { summary: 'The tools', value: { jsonrpc: '2.0', id: 1, method: 'tools/list' } };

interface McpRoute {
  readonly dependencies: ApiDependencies;
  readonly tools: readonly Tool[];
  readonly checkOrigin: RequestHandler | undefined;
  readonly limitCreation: RequestHandler | undefined;
}

async function answerMessage(
  { dependencies, tools, checkOrigin, limitCreation }: McpRoute,
  request: Request,
  response: Response,
): Promise<void> {
  if (checkOrigin) await runHandler(checkOrigin, request, response);
  const message = Object.fromEntries(await readMessageFields(request, response, dependencies.bodyTime));
  if (limitCreation && createsJob(tools, message)) await runHandler(limitCreation, request, response);
  const sender = senderOf(request, response);
  const server = createMcpServer(tools, { version: readVersion(), caller: callerOf(response), sender });
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  response.once('close', () => void server.close().catch(() => undefined));
  await server.connect(transport);
  const answer = await transport.handleRequest(toWebRequest(request), { parsedBody: message });
  const contentType = answer.headers.get('Content-Type');
  if (contentType !== null) response.type(contentType);
  response.status(answer.status).send(Buffer.from(await answer.arrayBuffer()));
}

/**
 * The headers that the transport reads. It refuses a client that accepts no event stream, but every response here is
 * JSON.
 */
function toWebRequest(request: Request): globalThis.Request {
  const protocolVersion = request.get('Mcp-Protocol-Version');
  return new globalThis.Request('http://localhost/mcp', {
    method: 'POST',
    headers: {
      Accept: 'application/json, text/event-stream',
      'Content-Type': 'application/json',
      ...(protocolVersion !== undefined && { 'Mcp-Protocol-Version': protocolVersion }),
    },
  });
}

function createsJob(tools: readonly Tool[], message: Readonly<Record<string, unknown>>): boolean {
  const { params } = message;
  const name = typeof params === 'object' && params !== null && 'name' in params ? params.name : undefined;
  return message['method'] === 'tools/call' && tools.some((tool) => tool.createsJobs && tool.name === name);
}
