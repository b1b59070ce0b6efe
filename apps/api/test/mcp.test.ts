import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { batchViewSchema, costsViewSchema, jobViewSchema, qualityJobViewSchema } from '@lipsync/core/contract';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { json, startApi, type RunningApi } from './running-api.ts';

const alice = { name: 'alice', secret: 'a-secret-of-alice', isAdmin: false };
const bob = { name: 'bob', secret: 'a-secret-of-bob-too', isAdmin: false };
const urls = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };

describe('MCP server', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ keys: [alice, bob], corsOrigins: ['https://app.example.org'] });
  });
  afterAll(() => api.close());

  async function connect(secret: string): Promise<Client> {
    const client = new Client({ name: 'test', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(`${api.url}/mcp`), {
      requestInit: { headers: { Authorization: `Bearer ${secret}` } },
    });
    await client.connect(transport);
    onTestFinished(() => client.close());
    return client;
  }

  async function call(client: Client, name: string, args: Record<string, unknown>) {
    const { structuredContent, content, isError } = await client.callTool({ name, arguments: args });
    expect(content).toEqual([{ type: 'text', text: JSON.stringify(structuredContent) }]);
    // oxlint-disable-next-line typescript/no-explicit-any -- the expectations of the tests check the shape
    return { result: structuredContent as any, isError };
  }

  async function countJobs(): Promise<number> {
    return (await api.store.list({ kind: 'lipsync', limit: 100 })).records.length;
  }

  it('The MCP server lists its tools with a schema that describes every argument.', async () => {
    const client = await connect(alice.secret);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'generate',
      'quality',
      'status',
      'costs',
      'batch',
      'batch_status',
      'cancel_batch',
    ]);
    for (const { inputSchema } of tools)
      for (const [name, schema] of Object.entries(inputSchema.properties ?? {}))
        expect(schema, name).toHaveProperty('description');
    expect(tools[0]?.inputSchema).toMatchObject({ required: ['video_url', 'audio_url'], additionalProperties: false });
    expect(Object.keys(tools[0]?.inputSchema.properties ?? {})).toContain('max_cost_usd');
  });

  it('generate creates a job of the key, status shows it to that key only, and a repeated call creates no second one.', async () => {
    const client = await connect(alice.secret);
    const args = { ...urls, method: 'preview', metadata: { n: 7 }, idempotency_key: 'one' };
    const { result: job } = await call(client, 'generate', args);
    expect(jobViewSchema.parse(job)).toMatchObject({ status: 'queued', method: 'preview', metadata: { n: 7 } });
    expect((await api.store.get(job.id))?.owner).toBe('alice');
    expect((await call(client, 'generate', args)).result.id).toBe(job.id);
    expect(await call(client, 'generate', { ...args, method: 'auto' })).toMatchObject({
      isError: true,
      result: { code: 'idempotency_mismatch' },
    });
    expect((await call(client, 'status', { id: job.id })).result).toEqual(job);
    const stranger = await call(await connect(bob.secret), 'status', { id: job.id });
    expect(stranger).toMatchObject({ isError: true, result: { code: 'not_found', status: 404 } });
  });

  it('batch creates a batch of the key, batch_status shows it in pages to that key only, and cancel_batch ends it.', async () => {
    const client = await connect(alice.secret);
    const args = { items: [urls, { ...urls, output_name: 'two.mp4' }], max_cost_usd: 3, idempotency_key: 'batch-1' };
    const { result: batch } = await call(client, 'batch', args);
    expect(batchViewSchema.parse(batch)).toMatchObject({ summary: { total: 2 }, results: [{}, {}] });
    expect((await call(client, 'batch', args)).result.id).toBe(batch.id);
    const { result: page } = await call(client, 'batch_status', { id: batch.id, limit: 1, cursor: '1' });
    expect(batchViewSchema.parse(page)).toMatchObject({ results: [{ output_name: 'two.mp4' }], next_cursor: null });
    for (const name of ['batch_status', 'cancel_batch'])
      expect(await call(await connect(bob.secret), name, { id: batch.id })).toMatchObject({
        isError: true,
        result: { code: 'not_found' },
      });
    await call(client, 'cancel_batch', { id: batch.id });
    expect((await call(client, 'batch_status', { id: batch.id })).result).toMatchObject({ status: 'canceled' });
    expect(await call(client, 'cancel_batch', { id: batch.id })).toMatchObject({ result: { code: 'canceled' } });
    const refused = await call(client, 'batch', { items: [urls, { ...urls, audio_url: 'file:///x' }] });
    expect(refused.result.errors).toMatchObject([{ field: 'items.1.audio_url' }]);
  });

  it('A batch of more than 64 KiB is created, and arguments beyond 100 are refused.', async () => {
    const client = await connect(alice.secret);
    const items = Array.from({ length: 100 }, (_, index) => ({ ...urls, metadata: { index, note: 'n'.repeat(700) } }));
    const { result: batch } = await call(client, 'batch', { items });
    expect(batch).toMatchObject({ summary: { total: 100 } });
    await call(client, 'cancel_batch', { id: batch.id });
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`field-${index}`, index]));
    expect(await call(client, 'batch', many)).toMatchObject({
      isError: true,
      result: { code: 'request_invalid', detail: 'The body has more than 100 fields.' },
    });
  });

  it('quality and costs answer as their routes do.', async () => {
    const client = await connect(alice.secret);
    const { result: job } = await call(client, 'quality', { video_url: urls.video_url });
    const shown = await call(client, 'status', { id: job.id });
    expect(qualityJobViewSchema.parse(shown.result)).toMatchObject({ id: job.id, status: 'queued' });
    const costs = await call(client, 'costs', { group_by: 'user' });
    expect(costsViewSchema.parse(costs.result)).toMatchObject({ group_by: 'user', rows: [] });
  });

  it.each([
    ['files', { video: '/etc/passwd', audio: 'a.wav' }, ['audio', 'audio_url', 'video', 'video_url']],
    ['addresses of files', { video_url: 'file:///etc/passwd', audio_url: 'a.wav' }, ['audio_url', 'video_url']],
    ['private addresses', { ...urls, video_url: 'http://169.254.169.254/x' }, ['video_url']],
    ['invalid fields', { ...urls, start_ms: 'x', color: 1 }, ['color', 'start_ms']],
    ['a key that is no text', { ...urls, idempotency_key: 7 }, ['idempotency_key']],
  ])('generate refuses %s, names every field and stores nothing.', async (_name, args, fields) => {
    const before = await countJobs();
    const { result, isError } = await call(await connect(alice.secret), 'generate', args);
    expect(isError).toBe(true);
    expect(result.errors.map(({ field }: { field: string }) => field).toSorted()).toEqual(fields);
    expect(await countJobs()).toBe(before);
  });

  it('The MCP server requires a key and refuses the origins of other pages.', async () => {
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    const post = (headers: Record<string, string>) =>
      api.fetch('/mcp', {
        method: 'POST',
        body: JSON.stringify(ping),
        headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', ...headers },
      });
    const Authorization = `Bearer ${alice.secret}`;
    expect((await post({})).status).toBe(401);
    expect((await post({ Authorization, Origin: 'https://evil.example' })).status).toBe(403);
    const { host } = new URL(api.url);
    expect((await post({ Authorization, Origin: `http://${host}` })).status).toBe(403);
    expect((await post({ Authorization, Origin: 'https://app.example.org' })).status).toBe(200);
    expect(await json(await post({ Authorization }))).toEqual({ jsonrpc: '2.0', id: 1, result: {} });
    expect((await api.fetch('/mcp', { headers: { Authorization } })).status).toBe(405);
  });

  it('Several messages in one request and an unknown tool are refused.', async () => {
    const headers = { Authorization: `Bearer ${alice.secret}`, 'Content-Type': 'application/json' };
    expect((await api.fetch('/mcp', { method: 'POST', body: '[]', headers })).status).toBe(400);
    const client = await connect(alice.secret);
    await expect(client.callTool({ name: 'delete_everything' })).rejects.toThrow('Unknown tool');
  });
});

it('Calls that create jobs count toward the lower limit of the key, and others do not.', async () => {
  const settings = {
    LIPSYNC_API_KEYS: `alice:${alice.secret}`,
    LIPSYNC_MAX_REQUESTS_PER_MINUTE: '100',
    LIPSYNC_MAX_JOB_REQUESTS_PER_MINUTE: '1',
  };
  const api = await startApi({}, settings);
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  const call = (name: string, args: object) =>
    api.fetch('/mcp', {
      method: 'POST',
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }),
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${alice.secret}` },
    });
  const statuses: number[] = [];
  for (const name of ['generate', 'quality', 'costs']) statuses.push((await call(name, urls)).status);
  expect(statuses).toEqual([200, 429, 200]);
});
