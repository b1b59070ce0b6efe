import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import {
  CallToolRequestSchema,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
  type CallToolResult,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { requireFewFields } from '../http/json-body.ts';
import { describeThrown } from '../http/problem.ts';
import type { Tool, ToolCall } from './tools.ts';

const instructions =
  'Makes the person in a video speak a recording. Jobs run in the background: generate or quality starts one, status follows it; ' +
  'batch starts many, batch_status follows them.';

/** Creates the MCP server for one request. The caller connects and closes it. */
export function createMcpServer(
  tools: readonly Tool[],
  { version, caller, sender }: Omit<ToolCall, 'fields'> & { readonly version: string },
): Server {
  const server = new Server({ name: 'lipsync', version }, { capabilities: { tools: {} }, instructions });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: tools.map(describeTool) }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => {
    const tool = tools.find(({ name }) => name === params.name);
    if (!tool) throw new McpError(ErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const fields = new Map(Object.entries(params.arguments ?? {}));
    return callTool(tool, { caller, sender, fields });
  });
  return server;
}

function describeTool({ name, title, description, arguments: schema, createsJobs, isDestructive = false }: Tool) {
  return {
    name,
    title,
    description,
    inputSchema: { ...toJsonSchema(schema), type: 'object' as const },
    annotations: {
      readOnlyHint: !createsJobs && !isDestructive,
      destructiveHint: isDestructive,
      openWorldHint: createsJobs,
    },
  };
}

function toJsonSchema(schema: z.ZodObject): object {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return described;
}

/** A refusal is a result too, with the problem document of the route, so that a model can correct its call. */
async function callTool(tool: Tool, call: ToolCall): Promise<CallToolResult> {
  try {
    requireFewFields(call.fields.size);
    return toResult(await tool.run(call), false);
  } catch (error) {
    return toResult(describeThrown(error, call.sender.requestId ?? ''), true);
  }
}

function toResult(content: object, isError: boolean): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(content) }], structuredContent: { ...content }, isError };
}
