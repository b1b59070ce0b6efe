import { testPlan } from '../../src/testing/test-plan.ts';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { InputNotFoundError, LipsyncError } from '../../src/errors/index.ts';
import { getLipsyncService, type GenerateLipsyncInput, type LipsyncService } from '../../src/index.ts';
import { makeShortSample } from './short-sample.ts';
import { toMicros } from '../../src/billing/micros.ts';

let folder: string;
let service: LipsyncService;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-service-'));
  service = getLipsyncService({ dataDir: join(folder, 'data') });
});
afterEach(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

function inputWith(more: Partial<GenerateLipsyncInput>): GenerateLipsyncInput {
  return {
    videoPath: join(folder, 'clip.mp4'),
    audioPath: join(folder, 'speech.wav'),
    outputPath: join(folder, 'out.mp4'),
    ...more,
  };
}

describe('Cost estimates', () => {
  it('An estimate covers the plan at the length of the output and starts no work.', async () => {
    await service.close();
    const { providers } = configFromEnvironment({ HEYGEN_API_KEY: 'key' });
    service = getLipsyncService({
      dataDir: join(folder, 'data'),
      providers,
      budget: { dailyMicros: toMicros(30_000), monthlyMicros: null, userDailyMicros: null },
    });
    const files = await makeShortSample(folder);
    const input = { videoPath: files.clipPath, audioPath: files.speechPath, allowPreview: true };
    expect(await service.estimateCost(input)).toEqual({
      durationSeconds: 1,
      plan: ['heygen', 'preview'],
      planSteps: testPlan('heygen', 'preview'),
      first: 'preview',
      providers: [
        { provider: 'heygen', costUsd: 0.0333, expectedSeconds: 61, measured: false, cap: 'daily' },
        { provider: 'preview', costUsd: 0, expectedSeconds: 1.65, measured: false, cap: null },
      ],
    });
    await expect(access(join(folder, 'data', 'work'))).rejects.toThrow();
  });

  it('An estimate of unusable inputs or invalid options throws.', async () => {
    const files = { videoPath: join(folder, 'clip.mp4'), audioPath: join(folder, 'speech.wav') };
    await expect(service.estimateCost(files)).rejects.toBeInstanceOf(InputNotFoundError);
    await expect(
      service.estimateCost({ ...files, videoPath: 'https://a.example/clip.mp4?sig=1' }),
    ).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('download the URL first'),
    });
    await expect(service.estimateCost({ ...files, priority: 11 })).rejects.toMatchObject({ code: 'request_invalid' });
    for (const path of Object.values(files)) await writeFile(path, 'no media');
    await expect(service.estimateCost(files)).rejects.toMatchObject({ code: 'clip_unusable' });
  });
});

describe('The cost of local takes', () => {
  it('A local take costs the duration of its attempt, once.', async () => {
    await service.close();
    // One millionth of a dollar per millisecond.
    service = getLipsyncService({ dataDir: join(folder, 'data'), gpuMicrosPerHour: 3_600_000 });
    const files = await makeShortSample(folder);
    const { costUsd, attempts } = await service.generateLipsync(
      inputWith({ videoPath: files.clipPath, audioPath: files.speechPath }),
    );
    const [{ startedAtMs = 0, endedAtMs = null, costMicros = null } = {}] = attempts;
    expect([attempts.length, costUsd]).toEqual([1, (costMicros ?? 0) / 1e6]);
    expect(costMicros).toBeGreaterThan(100);
    expect(costMicros).toBeLessThanOrEqual((endedAtMs ?? 0) - startedAtMs);
  });
});

describe('getLipsyncService', () => {
  it('The service is shared until it is closed.', async () => {
    expect(getLipsyncService()).toBe(service);
    await service.close();
    const next = getLipsyncService({ dataDir: join(folder, 'data') });
    expect(next).not.toBe(service);
    service = next;
  });

  it('Closing a service twice does not close its successor.', async () => {
    await service.close();
    const next = getLipsyncService({ dataDir: join(folder, 'data') });
    await service.close();
    expect(getLipsyncService()).toBe(next);
    service = next;
  });

  it('An error names every invalid option.', async () => {
    const failure = await service
      .generateLipsync(inputWith({ startMs: -1, priority: 11 }))
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'request_invalid', message: expect.stringMatching(/startMs.*priority/s) });
  });

  it('A missing clip throws InputNotFoundError and leaves no file.', async () => {
    const failure = await service.generateLipsync(inputWith({})).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(InputNotFoundError);
    expect(LipsyncError.isInstance(failure)).toBe(true);
    await expect(access(join(folder, 'out.mp4'))).rejects.toThrow();
  });

  it('An aborted signal stops the job before it starts, with the reason of the signal.', async () => {
    for (const name of ['clip.mp4', 'speech.wav']) await writeFile(join(folder, name), 'x');
    const signal = AbortSignal.abort(new LipsyncError('canceled', 'Never mind.'));
    await expect(service.generateLipsync(inputWith({}), { signal })).rejects.toMatchObject({
      code: 'canceled',
      message: 'Never mind.',
    });
  });
});
