import type { OriginView } from '@lipsync/core/contract';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { queuedJob } from '../src/reference/job-examples.ts';
import { AnswerChecker, operationsOf, type ApiDocument, type NamedOperation } from './answer-checker.ts';
import { json, startApi, type RunningApi } from './running-api.ts';

const secret = 'secret-of-the-admin';
const unsigned: OriginView = {
  state: 'unsigned',
  reason: null,
  signer: null,
  trusted: false,
  actions: [],
  ingredients: [],
  fingerprint: null,
};
const authorization = { Authorization: `Bearer ${secret}` };

/** Statuses that need a broken part, a race or a time limit; other tests show them. */
const seenElsewhere = ['403', '408', '409', '410', '413', '416', '429', '500', '503'];

describe('documented examples', () => {
  let api: RunningApi;
  let document: ApiDocument;
  let checker: AnswerChecker;
  let operations: readonly NamedOperation[];
  const seen = new Map<string, Set<string>>();
  /** Answers that are not documented. */
  let problems: string[] = [];

  beforeAll(async () => {
    api = await startApi(
      {
        keys: [{ name: 'admin', secret, isAdmin: true }],
        // The examples name hosts that do not exist here.
        checkUrl: () => undefined,
        originVerifier: {
          verify: async () => unsigned,
          verifyContent: async (content) => (content.resume(), unsigned),
        },
      },
      { LIPSYNC_MAX_FAILED_LOGINS_PER_MINUTE: '0' },
    );
    document = await json(await api.fetch('/openapi.json', { headers: { Authorization: `Bearer ${secret}` } }));
    checker = new AnswerChecker(document);
    operations = operationsOf(document);
  });
  afterAll(() => api.close());

  beforeEach(() => {
    problems = [];
  });

  /** Sends a request and notes an answer that is not documented. */
  async function call(operation: NamedOperation, { ids = {}, query = '', init = {} }: Call = {}): Promise<Response> {
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? 'job_unknown');
    const answer = await api.fetch(`${path}${query}`, {
      method: operation.method.toUpperCase(),
      redirect: 'manual',
      ...init,
      headers: { ...authorization, ...init.headers },
    });
    const copy = answer.clone();
    const problem = await checker.findUndocumented(operation, answer);
    if (problem !== undefined)
      problems.push(`${operation.method} ${path}${query} answered ${answer.status}: ${problem}`);
    const statuses = seen.get(operation.operationId) ?? new Set();
    seen.set(operation.operationId, statuses.add(String(answer.status)));
    return copy;
  }

  /** Ids of jobs in several states, for the parameters of a path. */
  async function idsFor({ path }: NamedOperation): Promise<readonly Record<string, string>[]> {
    if (!path.includes('{id}')) return [{}];
    const create = operations.find(({ method, path: other }) => method === 'post' && other === path.split('/{')[0]);
    if (!create) return [{}];
    const id: string = (await json(await call(create, firstExample(create)))).id;
    if (!path.startsWith('/lipsync')) return [{ id }];
    const [ended, failed] = [await api.recordJob(), await api.recordJob()];
    await api.complete(ended, 'video');
    await api.fail(failed);
    return [{ id }, { id: ended }, { id: failed }];
  }

  it('Every documented request and response example fits its schema.', () => {
    const unfit = operations.flatMap(({ method, path, requestBody, responses }) => {
      const contents = [
        ['requestBody', requestBody?.content] as const,
        ...Object.entries(responses).map(([status, { content }]) => [`responses/${status}`, content] as const),
      ];
      const examples = contents.flatMap(([place, content]) =>
        Object.entries(content ?? {}).flatMap(([mediaType, { examples: values = {} }]) =>
          Object.values(values).map(({ value }) => ({ place, mediaType, value })),
        ),
      );
      return examples.flatMap(({ place, mediaType, value }) => {
        const pointer = ['paths', path, method, ...place.split('/'), 'content', mediaType, 'schema'];
        const mismatch = checker.findMismatch(pointer, value);
        return mismatch === undefined ? [] : [`${method} ${path} ${place}: ${mismatch}`];
      });
    });
    expect(unfit).toEqual([]);
  });

  it('A field that is not documented, and one that is missing, are noticed.', () => {
    const pointer = ['components', 'schemas', 'LipsyncJob'];
    expect(checker.findMismatch(pointer, queuedJob)).toBeUndefined();
    expect(checker.findMismatch(pointer, { ...queuedJob, internal: 1 })).toContain(
      'must NOT have additional properties',
    );
    expect(checker.findMismatch(pointer, { ...queuedJob, quality: undefined })).toBeDefined();
  });

  it('Every route answers every documented example as documented.', async () => {
    for (const operation of operations.filter(({ operationId }) => !operationId.startsWith('follow'))) {
      for (const ids of await idsFor(operation)) {
        for (const example of examplesOf(operation)) {
          const answer = await call(operation, { ...example, ids });
          if (operation.requestBody && answer.status >= 300)
            problems.push(`${operation.operationId}: ${answer.status}`);
          const tag = answer.headers.get('ETag');
          // fetch would add `no-cache`.
          const condition = { 'If-None-Match': tag ?? '', 'Cache-Control': 'max-age=0' };
          if (tag !== null) await call(operation, { ids, init: { headers: condition } });
        }
      }
    }
    expect(problems).toEqual([]);
  });

  it('Every route answers wrong keys, ids, queries and bodies as documented.', async () => {
    for (const operation of operations) {
      await call(operation, {
        ids: { id: 'job_unknown', attempt: 'x' },
        init: { headers: { Authorization: 'Bearer x' } },
      });
      for (const query of ['', '?unknown=1&limit=x'])
        await call(operation, { ids: { id: 'job_unknown', attempt: 'x' }, query });
      if (!operation.requestBody) continue;
      for (const [type, body] of [
        ['text/plain', 'text'],
        ['application/json', '{'],
        ['application/json', '{}'],
        ['application/json; charset=latin1', '{}'],
        ['application/json', '{"unknown":1,"items":[{"video_url":1}]}'],
        ['multipart/form-data; boundary=x', '--x'],
        ['application/jsonl', '{}\n{\n'],
      ] as const)
        await call(operation, { init: { body, headers: { 'Content-Type': type } } });
    }
    expect(problems).toEqual([]);
  });

  it('The events of a job are documented.', async () => {
    for (const operation of operations.filter(({ operationId }) => operationId.startsWith('follow'))) {
      const [running, ended = running] = await idsFor(operation);
      if (running === undefined || ended === undefined) throw new Error('No job.');
      const path = (ids: Record<string, string>): string => operation.path.replace('{id}', ids['id'] ?? '');
      const view = operation.path.replace('/events', '');
      const gone = new AbortController();
      const stream = await api.fetch(path(ended), { headers: authorization, signal: gone.signal });
      const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
      const { value: text = '' } = (await reader?.read()) ?? {};
      gone.abort();
      const data = /^data: (.*)$/m.exec(text)?.[1] ?? 'null';
      const ofJob = ['paths', view, 'get', 'responses', '200', 'content', 'application/json', 'schema'];
      const pointer = view.startsWith('/batches') ? ['components', 'schemas', 'BatchSummary'] : ofJob;
      expect(checker.findMismatch(pointer, JSON.parse(data))).toBeUndefined();
      seen.set(operation.operationId, new Set([...(seen.get(operation.operationId) ?? []), '200']));
      if (ended !== running) await call(operation, { ids: ended, init: { headers: { 'Last-Event-ID': '99' } } });
    }
  });

  it('The tests above have seen every documented status, except those that need a fault.', () => {
    const unseen = operations.flatMap(({ operationId, responses }) =>
      Object.keys(responses)
        .filter((status) => !seenElsewhere.includes(status) && !seen.get(operationId)?.has(status))
        .map((status) => `${operationId} ${status}`),
    );
    expect(unseen.toSorted()).toEqual([
      'check_heygen_operation 204',
      // The job runs.
      'deleteBatch 202',
      'deleteLipsyncJob 202',
      'deleteQualityJob 202',
      'deleteUser 202',
      // The id is not encoded for a URL.
      'deleteUser 404',
      // The id has a control character.
      'deleteUser 422',
      // The batch or job has ended.
      'followBatch 204',
      'followQualityJob 204',
      // The outputs are files, not objects in a bucket.
      'getLipsyncOutput 302',
      // The memory of the process changes with each request.
      'getMetrics 304',
      // Nothing was delivered.
      'replayDelivery 202',
      'report_heygen_operation 204',
      'retryQualityJob 202',
      // No receiver is off.
      'switchOnReceiver 204',
      // The source of the URL fails.
      'verifyOrigin 502',
      'verifyOrigin 504',
    ]);
  });
});

interface Call {
  readonly ids?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly init?: { readonly headers?: Record<string, string>; readonly body?: FormData | string };
}

function firstExample(operation: NamedOperation): Call {
  return examplesOf(operation)[0] ?? {};
}

/** One call per example of a body, one per example of a parameter, and one without either. */
function examplesOf({ requestBody, parameters = [] }: NamedOperation): readonly Call[] {
  if (requestBody)
    return Object.entries(requestBody.content).flatMap(([mediaType, { examples = {} }]) =>
      Object.values(examples).map(({ value }) => ({ init: bodyOf(mediaType, value) })),
    );
  const queries = parameters
    .filter((parameter) => parameter.in === 'query')
    .flatMap(({ name, schema }) => sampleValues(schema).map((value) => `?${name}=${encodeURIComponent(value)}`));
  const headers = parameters
    .filter((parameter) => parameter.in === 'header')
    .flatMap(({ name, schema }) => sampleValues(schema).map((value) => ({ [name]: value })));
  return [...['', ...queries].map((query) => ({ query })), ...headers.map((header) => ({ init: { headers: header } }))];
}

/** Values of a parameter that its schema names: enumerated values, examples and the default. */
function sampleValues(schema: unknown): readonly string[] {
  const {
    enum: values = [],
    examples = [],
    default: fallback,
  } = schema as {
    readonly enum?: readonly unknown[];
    readonly examples?: readonly unknown[];
    readonly default?: unknown;
  };
  return [...values, ...examples, ...(fallback === undefined ? [] : [fallback])].map(String);
}

/** Names of files in an example of a form stand for files. */
function bodyOf(mediaType: string, value: unknown): NonNullable<Call['init']> {
  if (mediaType === 'application/json') return { body: JSON.stringify(value), headers: { 'Content-Type': mediaType } };
  // A body of lines is documented as text.
  if (typeof value === 'string') return { body: value, headers: { 'Content-Type': mediaType } };
  const form = new FormData();
  for (const [name, field] of Object.entries(value as Record<string, unknown>)) {
    if (typeof field === 'string' && /\.(mp4|wav|csv)$/.test(field)) form.append(name, new Blob(['file']), field);
    else form.append(name, typeof field === 'string' ? field : JSON.stringify(field));
  }
  return { body: form };
}
