import { createCostEstimator, documentedOptionsOf, listProviders, optionsSchemaOf } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { lipsyncJob, createMemoryState } from '@lipsync/core/testing';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { fixtureDefinition } from '../../../packages/lipsync-core/test/providers/fixture/definition.ts';
import type { ApiDependencies } from '../src/dependencies.ts';
import { form, json, startApi, type RunningApi } from './running-api.ts';

const hint = vi.fn<ApiDependencies['jobs']['hint']>(async () => undefined);
const state = createMemoryState().open();
const definitions = [...configFromEnvironment({}).providers.map(({ definition }) => definition), fixtureDefinition];
const config = configFromEnvironment({ FIXTURE_KEY: 'key' }, definitions);
let api: RunningApi;

beforeAll(async () => {
  api = await startApi({
    providers: listProviders(config, { state }),
    optionsSchema: optionsSchemaOf(config),
    documentedOptions: documentedOptionsOf(config),
    estimator: createCostEstimator(config, { state }),
  });
  api.dependencies.jobs.hint = hint;
});
afterAll(() => api.close());

it('GET /providers lists an added provider with its prices and balance.', async () => {
  const { providers } = await json(await api.fetch('/providers'));
  expect(providers.at(-1)).toMatchObject({
    id: 'fixture',
    configured: true,
    usd_per_second: { low: 0.01, high: 0.02 },
    balance_usd: 5,
  });
});

it('The webhook of an added provider is routed, and an unverified call is refused.', async () => {
  expect((await api.post('/callbacks/fixture/job_1?key=key')).status).toBe(204);
  expect(hint).toHaveBeenCalledExactlyOnceWith({ jobId: 'job_1', index: 0 });
  expect((await api.post('/callbacks/fixture/job_1?key=guess')).status).toBe(404);
});

it('POST /estimate accepts the options of an added provider and reports an invalid option under the name that was sent.', async () => {
  const estimate = (provider_options: object) =>
    api.postJson('/estimate', { audio_duration_ms: 10_000, method: 'fixture', provider_options });
  expect(await json(await estimate({ fixture: { tone: 'high', take_count: 2 } }))).toMatchObject({
    providers: [{ provider: 'fixture', cost_usd: 0.4 }],
  });
  for (const [given, field] of [
    [{ take_count: 9 }, 'provider_options.fixture.take_count'],
    [{ takeCount: 2 }, 'provider_options.fixture.takeCount'],
  ] as const) {
    const response = await estimate({ fixture: given });
    expect(response.status).toBe(422);
    expect((await json(response)).errors.map((problem: { field: string }) => problem.field)).toContain(field);
  }
});

it('A form field provider_options is JSON, and its options are stored with the job.', async () => {
  const response = await api.post('/lipsync', form({ provider_options: '{"fixture":{"tone":"high"}}' }));
  expect(response.status).toBe(202);
  const record = lipsyncJob(await api.store.get((await json(response)).id));
  expect(record.spec.options.providerOptions['fixture']).toEqual({ tone: 'high', takeCount: 1 });
});
