import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { getLipsyncService } from '../../src/index.ts';
import { providerDefinitions } from '../../src/providers/registry.ts';
import {
  checkMethod,
  createCostEstimator,
  listProviders,
  optionsSchemaOf,
  planJob,
  settingWarnings,
} from '../../src/service/installation.ts';
import { parseInput } from '../../src/service/parse-input.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { runCli, runCliWith } from '../cli/run-cli.ts';
import { makeShortSample } from '../service/short-sample.ts';
import { fixtureDefinition } from './fixture/definition.ts';

const definitions = [...providerDefinitions, fixtureDefinition];
const state = createMemoryState().open();
const configWith = (environment: Record<string, string>) => configFromEnvironment(environment, definitions);
const config = configWith({ FIXTURE_KEY: 'key', FIXTURE_MAX_CONCURRENT: '2' });
const optionsOf = (request: object) => parseInput(optionsSchemaOf(config), request);

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-added-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('A provider that is added by its definition alone', () => {
  it('It is part of the plan and of the estimate, with the price and the duration that its options select.', async () => {
    const options = optionsOf({ method: 'fixture', providerOptions: { fixture: { tone: 'high', takeCount: 2 } } });
    expect(planJob(options, config)).toMatchObject({ plan: [{ provider: 'fixture' }], needs: 'remote' });
    expect(planJob(optionsOf({}), config).plan?.map(({ provider }) => provider)).toContain('fixture');
    const estimate = await createCostEstimator(config, { state }).estimate({
      options,
      durationMs: 10_000,
      payer: { user: null },
    });
    expect(estimate.providers).toEqual([
      { provider: 'fixture', costMicros: 400_000, expectedMs: 21_000, isMeasured: false, cap: null },
    ]);
  });

  it('Its options are validated and filled in; those of an unknown provider are rejected.', () => {
    expect(optionsOf({}).providerOptions['fixture']).toEqual({ tone: 'low', takeCount: 1 });
    for (const fixture of [{ tone: 'loud' }, { pitch: 1 }, { takeCount: 4 }])
      expect(() => optionsOf({ providerOptions: { fixture } })).toThrow(/^providerOptions\.fixture/);
    expect(() => optionsOf({ providerOptions: { nonesuch: {} } })).toThrow('nonesuch');
    expect(() => parseInput(optionsSchemaOf(configFromEnvironment({})), { method: 'fixture' })).toThrow('method');
  });

  it('Its settings are read, and a missing or invalid one is reported.', () => {
    const [status] = listProviders(config, { state }).slice(-1);
    expect(status).toMatchObject({
      id: 'fixture',
      missingSetting: null,
      microsPerSecond: { low: 10_000, high: 20_000 },
    });
    expect(listProviders(configWith({}), { state }).at(-1)).toMatchObject({ missingSetting: 'FIXTURE_KEY' });
    expect(() => checkMethod('fixture', configWith({}))).toThrow('not configured');
    expect(() => configWith({ FIXTURE_MAX_CONCURRENT: '10' })).toThrow('FIXTURE_MAX_CONCURRENT: must be at most 9');
    expect(settingWarnings(configWith({ FIXTURE_KEY: 'short' }))).toEqual(['FIXTURE_KEY is short.']);
  });

  it('It is inspected for GET /providers, and its callbacks are verified.', async () => {
    const [status] = listProviders(config, { state }).slice(-1);
    expect(await status?.inspect()).toMatchObject({ balanceMicros: 5_000_000, device: null });
    expect(status?.callbackPath).toBe('/callbacks/fixture');
    expect(status?.verifyCallback({ attemptName: 'job_1', query: { key: 'key' } })).toEqual({
      jobId: 'job_1',
      index: 0,
    });
    expect(status?.verifyCallback({ attemptName: 'job_1', query: { key: 'guess' } })).toBeUndefined();
  });

  it('doctor lists its check, and the command line has its flags.', async () => {
    vi.stubEnv('LIPSYNC_DATA_DIR', folder);
    vi.stubEnv('LIPSYNC_OUTPUT_DIR', folder);
    vi.stubEnv('FIXTURE_KEY', 'key');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await runCliWith(definitions, 'doctor')).stdout).toMatch(/^ok {8}fixture +at most 3 operations at once$/m);
    expect((await runCliWith(definitions, 'generate', '--help')).stdout).toMatch(
      /--fixture-tone .*--fixture-take-count /s,
    );
    expect((await runCli('generate', '--help')).stdout).not.toContain('fixture');
  });

  it('It runs a job, with a render task of its own.', { timeout: 60_000 }, async () => {
    const { clipPath: videoPath, speechPath: audioPath } = await makeShortSample(folder);
    const service = getLipsyncService({ dataDir: join(folder, 'data'), providers: config.providers });
    onTestFinished(() => service.close());
    const outputPath = join(folder, 'out.mp4');
    const result = await service.generateLipsync({ videoPath, audioPath, outputPath, method: 'fixture' });
    expect(result).toMatchObject({ methodUsed: 'fixture', costUsd: 0.00007 });
    expect(result.warnings.map(({ code }) => code)).toContain('fixture');
  });

  it('An id, a setting or an earlier field name that two definitions share is refused.', () => {
    expect(() => configFromEnvironment({}, [...definitions, fixtureDefinition])).toThrow(
      'Two providers define "fixture"',
    );
    const twin = { ...fixtureDefinition, id: 'other' };
    expect(() => configFromEnvironment({}, [...definitions, twin])).toThrow('Two providers define "FIXTURE_KEY"');
  });
});

describe('Request fields of earlier versions', () => {
  it('heygenMode sets providerOptions.heygen.mode.', () => {
    expect(optionsOf({ heygenMode: 'precision' }).providerOptions['heygen']).toEqual({ mode: 'precision' });
    expect(optionsOf({}).providerOptions['heygen']).toEqual({ mode: 'speed' });
    expect(optionsOf({ heygenMode: 'precision' })).not.toHaveProperty('heygenMode');
  });

  it('Both names may be given if they agree.', () => {
    const both = (heygenMode: string, mode: string) => optionsOf({ heygenMode, providerOptions: { heygen: { mode } } });
    expect(both('precision', 'precision').providerOptions['heygen']).toEqual({ mode: 'precision' });
    expect(() => both('precision', 'speed')).toThrow('heygenMode contradicts provider_options.heygen.mode');
    expect(() => optionsOf({ heygenMode: 'slow' })).toThrow('heygenMode must be one of speed, precision');
  });
});
