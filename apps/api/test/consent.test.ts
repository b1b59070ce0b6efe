import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LipsyncError, systemClock } from '@lipsync/core/host';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LipsyncClient } from '@lipsync/client';
import { authorizationOf, form, json, startApi, tenantKeys, type RunningApi } from './running-api.ts';

const urls = { video_url: 'https://example.org/a.mp4', audio_url: 'https://example.org/a.wav' };
const consent = { subject: 'Ada Zebra', scope: 'one film', expires_at: '2999-01-31T00:00:00+02:00', reference: 'A-17' };
const expired = { ...consent, expires_at: '2020-01-31T00:00:00Z' };

async function outcome(response: Response) {
  const { code, errors = [] } = await json(response);
  return { status: response.status, code, fields: errors.map(({ field }: { field: string }) => field) };
}

describe('a consent where none is required', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ keys: tenantKeys });
  });
  afterAll(() => api.close());

  const post = (path: string, body: object, headers = authorizationOf('alice')) =>
    api.post(path, JSON.stringify(body), { 'Content-Type': 'application/json', ...headers });

  it('A consent is shown to the key of its job, is in neither queue entry nor lists of others, and is erased with the job.', async () => {
    const { id, request } = await json(await post('/lipsync', { ...urls, consent }));
    expect(request.consent).toEqual(consent);
    const headers = authorizationOf('alice');
    expect((await json(await api.fetch(`/lipsync/${id}`, { headers }))).request.consent).toEqual(consent);
    expect((await api.fetch(`/lipsync/${id}`, { headers: authorizationOf('bob') })).status).toBe(404);
    expect(JSON.stringify((await api.queuedPayload(id)) ?? {})).not.toContain('Zebra');
    expect((await api.fetch(`/lipsync/${id}`, { method: 'DELETE', headers })).status).toBe(204);
    expect(await api.store.get(id)).toBeUndefined();
  });

  it('DELETE /users erases the consents of all jobs of the user.', async () => {
    const { id } = await json(await post('/lipsync', { ...urls, consent, user_id: 'ada' }));
    const headers = authorizationOf('alice');
    await expect
      .poll(async () => (await api.fetch('/users/ada', { method: 'DELETE', headers })).status, { timeout: 20_000 })
      .toBe(204);
    expect(await api.store.get(id)).toBeUndefined();
  });

  it('Items of a batch have the consent of the batch unless they have their own, also through the client.', async () => {
    const client = new LipsyncClient({ baseUrl: api.url, apiKey: 'alice-secret' });
    const own = { subject: 'Grace', scope: 'another film' };
    const input = { video: urls.video_url, audio: urls.audio_url };
    const { id } = await client.batches.create({ items: [input, { ...input, consent: own }], consent });
    const { results } = await client.batches.get(id);
    expect(results.map(({ request }) => request.consent)).toEqual([consent, own]);
  });

  it.each([
    ['text', 'yes', ['consent']],
    ['null', null, ['consent']],
    ['an empty object', {}, ['consent.subject', 'consent.scope']],
    ['an unknown field', { ...consent, name: 'x' }, ['consent.name']],
    ['a field in another spelling', { ...consent, expiresAt: consent.expires_at }, ['consent.expiresAt']],
    ['a long subject', { ...consent, subject: 'x'.repeat(201) }, ['consent.subject']],
    ['a long scope', { ...consent, scope: 'x'.repeat(1_001) }, ['consent.scope']],
    ['a long reference', { ...consent, reference: 'x'.repeat(501) }, ['consent.reference']],
    ['invisible characters', { ...consent, subject: 'Ada\u202e' }, ['consent.subject']],
    ['a time without a zone', { ...consent, expires_at: '2999-01-31T00:00:00' }, ['consent.expires_at']],
    ['a day that does not exist', { ...consent, expires_at: '2999-02-30T00:00:00Z' }, ['consent.expires_at']],
    ['a zone that does not exist', { ...consent, expires_at: '2999-01-30T00:00:00+99:00' }, ['consent.expires_at']],
    ['a number as time', { ...consent, expires_at: 4e12 }, ['consent.expires_at']],
  ])('A consent that is or has %s is refused with the name of the field.', async (_, given, fields) => {
    const refusal = { status: 422, code: 'request_invalid', fields };
    expect(await outcome(await post('/lipsync', { ...urls, consent: given }))).toEqual(refusal);
    const body = form({ consent: JSON.stringify(given) });
    expect(await outcome(await api.post('/lipsync', body, authorizationOf('alice')))).toEqual(refusal);
  });

  it('An expired consent is refused although none is required.', async () => {
    const refusal = { status: 422, code: 'consent_expired', fields: ['consent'] };
    expect(await outcome(await post('/lipsync', { ...urls, consent: expired }))).toEqual(refusal);
  });
});

it('A repeated request, for a job or a batch, gets the first answer also after its consent has expired.', async () => {
  let isExpired = false;
  const api = await startApi({
    checkConsent() {
      if (isExpired) throw new LipsyncError('consent_expired', 'The consent of this request has expired.');
    },
  });
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  const sendUrls = (key: string) =>
    api.post('/lipsync', JSON.stringify({ ...urls, consent }), {
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    });
  const sendFiles = (key: string) =>
    api.post('/lipsync', form({ consent: JSON.stringify(consent) }), { 'Idempotency-Key': key });
  const client = new Client({ name: 'test', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${api.url}/mcp`)));
  const callTool = async (key: string) => {
    const call = { name: 'generate', arguments: { ...urls, consent, idempotency_key: key } };
    return (await client.callTool(call)).structuredContent;
  };
  const called = await callTool('tool-1');
  isExpired = true;
  expect(await callTool('tool-1')).toEqual(called);
  expect(await callTool('tool-2')).toMatchObject({ code: 'consent_expired' });
  await client.close();
  const sendBatch = (key: string) =>
    api.post('/batches', JSON.stringify({ items: [urls], consent }), {
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    });
  const sendManifest = (key: string) => {
    const body = new FormData();
    body.set('consent', JSON.stringify(consent));
    body.set('manifest', new Blob([`video,audio\n${urls.video_url},${urls.audio_url}\n`]), 'manifest.csv');
    return api.post('/batches', body, { 'Idempotency-Key': key });
  };
  for (const send of [sendUrls, sendFiles, sendBatch, sendManifest]) {
    isExpired = false;
    const { id } = await json(await send(`${send.name}-1`));
    isExpired = true;
    const repeated = await send(`${send.name}-1`);
    expect([repeated.status, repeated.headers.get('Idempotent-Replayed')]).toEqual([202, 'true']);
    expect((await json(repeated)).id).toBe(id);
    expect(await outcome(await send(`${send.name}-2`))).toMatchObject({ code: 'consent_expired' });
  }
});

describe('LIPSYNC_CONSENT=required', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({}, { LIPSYNC_CONSENT: 'required' });
  });
  afterAll(() => api.close());

  it('A request without a consent is refused and stores nothing; one with a consent is accepted.', async () => {
    const refusal = { status: 422, code: 'consent_required', fields: ['consent'] };
    expect(await outcome(await api.postJson('/lipsync', urls))).toEqual(refusal);
    expect(await outcome(await api.post('/lipsync', form({ method: 'preview' })))).toEqual(refusal);
    expect(await api.storedFiles()).toEqual([]);
    expect((await api.postJson('/lipsync', { ...urls, consent })).status).toBe(202);
    const sent = await api.post('/lipsync', form({ method: 'preview', consent: JSON.stringify(consent) }));
    expect(sent.status).toBe(202);
  });

  it('A request that an earlier result would answer is refused without a consent.', async () => {
    const body = () => form({ method: 'preview', priority: '1', consent: JSON.stringify(consent) });
    const { id } = await json(await api.post('/lipsync', body()));
    await api.complete(id, 'the output', 'v1');
    expect(await outcome(await api.post('/lipsync', form({ method: 'preview' })))).toMatchObject({
      code: 'consent_required',
    });
  });

  it('A batch is refused with the code of its items if nothing else is wrong with it.', async () => {
    const good = { ...urls, consent };
    expect(await outcome(await api.postJson('/batches', { items: [good, urls] }))).toEqual({
      status: 422,
      code: 'consent_required',
      fields: ['items.1.consent'],
    });
    expect(await outcome(await api.postJson('/batches', { items: [good, { ...urls, consent: expired }] }))).toEqual({
      status: 422,
      code: 'consent_expired',
      fields: ['items.1.consent'],
    });
    const mixed = [{ ...good, start_ms: -1 }, urls];
    expect(await outcome(await api.postJson('/batches', { items: mixed }))).toMatchObject({ code: 'request_invalid' });
    expect((await api.postJson('/batches', { items: [urls, urls], consent })).status).toBe(202);
  });

  it('Quality and estimates need no consent, and a dated one counts to its end.', async () => {
    expect((await api.postJson('/quality', { video_url: urls.video_url })).status).toBe(202);
    expect((await api.postJson('/estimate', { audio_duration_ms: 1_000, allow_preview: true })).status).toBe(200);
    const soon = { ...consent, expires_at: new Date(systemClock.nowMs() + 3_600_000).toISOString() };
    expect((await api.postJson('/lipsync', { ...urls, consent: soon })).status).toBe(202);
  });
});
