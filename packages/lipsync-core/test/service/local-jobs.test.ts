import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { costOf } from '../../src/jobs/job-view.ts';
import { thisProcess } from '../../src/processes/process-owner.ts';
import type { ProgressUpdate } from '../../src/jobs/progress-writer.ts';
import { processFolderName } from '../../src/processes/workspace.ts';
import { probeTake } from '../../src/media/index.ts';
import { createIdSource, systemClock } from '../../src/contract/system-ports.ts';
import { createLocalHost } from '../../src/service/get-lipsync-service.ts';
import { LocalJobs, type LocalJobInput } from '../../src/service/local-jobs.ts';
import { OutputFiles } from '../../src/service/output-file.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { makeTake, neverCalled, workUntilStopped, type Script } from '../jobs/pipeline-scripts.ts';
import { makeShortSample } from './short-sample.ts';

let folder: string;
let workFolder: string;
let outputFolder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-local-jobs-'));
  workFolder = join(folder, 'work');
  outputFolder = join(folder, 'out');
  await writeFile(join(folder, 'clip'), 'the clip');
  await writeFile(join(folder, 'speech'), 'the speech');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** In-process jobs with a scripted pipeline. */
function jobsOf(run: Script): LocalJobs {
  return new LocalJobs({
    state: createMemoryState().open(),
    pipeline: { run, abandon: async () => undefined },
    outputFiles: new OutputFiles(),
    workFolder,
    downloads: { maxBytes: 1_000, allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']), minBytesPerSecond: 0 },
    clock: systemClock,
    ids: createIdSource(systemClock),
    operationMs: 60_000,
  });
}

function jobInput(more: Partial<LocalJobInput> = {}): LocalJobInput {
  return {
    videoPath: join(folder, 'clip'),
    audioPath: join(folder, 'speech'),
    outputPath: join(outputFolder, 'take.mp4'),
    overwrite: false,
    options: lipsyncOptionsSchema.parse({}),
    ...more,
  };
}

const take = { degraded: false, durationMs: 1_000, warnings: [] };

/** Lists all files and folders below a folder; empty if it does not exist. */
function contents(path: string): Promise<string[]> {
  return readdir(path, { recursive: true }).catch(() => []);
}

describe('An in-process job on the real core', () => {
  let mediaFolder: string;
  let sample: Pick<LocalJobInput, 'videoPath' | 'audioPath'>;
  let host: ReturnType<typeof createLocalHost>;

  beforeAll(async () => {
    mediaFolder = await mkdtemp(join(tmpdir(), 'lipsync-local-host-'));
    const { clipPath, speechPath } = await makeShortSample(mediaFolder);
    sample = { videoPath: clipPath, audioPath: speechPath };
    host = createLocalHost({ ...configFromEnvironment({}), dataDir: join(mediaFolder, 'data') });
  });
  afterAll(async () => {
    await host.close();
    await rm(mediaFolder, { recursive: true, force: true });
  });
  const workInProgress = () => contents(join(mediaFolder, 'data', 'work'));

  it('A job writes a video as long as the speech to a new folder and leaves no other file.', async () => {
    const updates: ProgressUpdate[] = [];
    const input = jobInput({ ...sample, outputPath: join(outputFolder, 'new', 'take.mp4') });
    const { record, error } = await host.localJobs.run(input, { onProgress: (update) => updates.push(update) });
    expect(error).toBeUndefined();
    expect(record).toMatchObject({
      status: 'completed',
      result: { methodUsed: 'preview', degraded: true, durationMs: 1_000 },
      attempts: [{ outcome: 'succeeded' }],
    });
    expect((await probeTake(input.outputPath)).frameCount).toBe(25);
    expect(await contents(outputFolder)).toEqual(['new', join('new', 'take.mp4')]);
    expect(await workInProgress()).toEqual([]);
    expect([...new Set(updates.map(({ stage }) => stage))]).toEqual([
      'fetching',
      'probing',
      'listening',
      'tracking',
      'learning',
      'rendering',
      'checking',
      'publishing',
    ]);
  });

  it('A job that is canceled during its work leaves no file.', async () => {
    const controller = new AbortController();
    const { record, error } = await host.localJobs.run(jobInput(sample), {
      signal: controller.signal,
      onProgress: ({ stage }) => {
        if (stage === 'tracking' || stage === 'rendering') controller.abort(new LipsyncError('canceled', 'Enough.'));
      },
    });
    expect(error).toMatchObject({ code: 'canceled', message: 'Enough.' });
    expect(record).toMatchObject({ status: 'canceled', result: null, attempts: [{ outcome: 'canceled' }] });
    expect([await contents(outputFolder), await workInProgress()]).toEqual([[], []]);
  });

  it('A job that reaches its deadline fails and leaves no file.', async () => {
    const options = { ...lipsyncOptionsSchema.parse({}), deadlineMs: 100 };
    const { record, error } = await host.localJobs.run(jobInput({ ...sample, options }), {});
    expect(error).toMatchObject({ code: 'deadline_exceeded', name: 'TimeoutError' });
    expect(record).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect([await contents(outputFolder), await workInProgress()]).toEqual([[], []]);
  });
});

describe('Inputs of an in-process job', () => {
  it.each(['videoPath', 'audioPath'] as const)(
    'A %s that does not exist or is a folder fails with not_found before any work.',
    async (name) => {
      for (const path of [join(folder, 'missing'), folder]) {
        const { record, error } = await jobsOf(neverCalled).run(jobInput({ [name]: path }), {});
        expect(error).toMatchObject({ code: 'not_found', name: 'InputNotFoundError' });
        expect(error?.message).toContain(path);
        expect(record.status).toBe('failed');
      }
      expect(await contents(outputFolder)).toEqual([]);
    },
  );
});

describe('Inputs of an in-process job at a URL', () => {
  let server: Server;
  let origin: string;
  let answer: RequestListener;
  beforeEach(async () => {
    answer = ({ url }, response) => void response.end(`the ${url?.slice(1, 5)}`);
    server = createServer((request, response) => answer(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port was given');
    origin = `http://127.0.0.1:${address.port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('Both inputs are downloaded into the workspace, which is removed, and the record holds no query.', async () => {
    const input = jobInput({ videoPath: `${origin}/clip?token=hush`, audioPath: `${origin}/spee` });
    const { record, error } = await jobsOf(makeTake).run(input);
    expect(error).toBeUndefined();
    expect(await readFile(input.outputPath, 'utf8')).toBe('the clip speaking the spee');
    expect(JSON.stringify(record)).not.toContain('hush');
    expect(await contents(workFolder)).toEqual([]);
  });

  it('A web page instead of the clip fails the job before anything is rendered, and leaves no file.', async () => {
    answer = (_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    const { record, error } = await jobsOf(neverCalled).run(jobInput({ videoPath: `${origin}/clip?token=hush` }));
    expect(error).toMatchObject({ code: 'clip_unusable', message: expect.stringContaining('a web page (text/html)') });
    expect(record).toMatchObject({ status: 'failed', error: { code: 'clip_unusable' } });
    expect(JSON.stringify(record)).not.toContain('hush');
    expect(await contents(workFolder)).toEqual([]);
  });

  it.each([
    ['a cancel', 'canceled', { cancel: true, options: {} }],
    ['the deadline', 'deadline_exceeded', { cancel: false, options: { deadlineMs: 1_000 } }],
  ])('A download is stopped by %s.', async (_, code, { cancel, options }) => {
    const controller = new AbortController();
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': '9' }).write('half');
      if (cancel) controller.abort();
    };
    const input = jobInput({ videoPath: `${origin}/clip`, options: lipsyncOptionsSchema.parse(options) });
    const { error } = await jobsOf(neverCalled).run(input, { signal: controller.signal });
    expect(error).toMatchObject({ code });
    expect(await contents(workFolder)).toEqual([]);
  });

  it.each(['file:///etc/passwd', 'ftp://example.org/clip.mp4'])(
    'The URL %s of a scheme that is not fetched is refused as a URL, not as a file that does not exist.',
    async (videoPath) => {
      const { error } = await jobsOf(neverCalled).run(jobInput({ videoPath }));
      expect(error).toMatchObject({ code: 'url_forbidden', message: expect.stringContaining('http or https') });
    },
  );

  it.each([
    ['is an existing file', 'output_exists', (path: string) => writeFile(path, 'earlier')],
    ['is a folder', 'request_invalid', (path: string) => mkdir(path)],
  ])('An output that %s fails the job before anything is downloaded.', async (_, code, createOutput) => {
    const requests: unknown[] = [];
    answer = ({ url }, response) => void response.end(String(requests.push(url)));
    const input = jobInput({ videoPath: `${origin}/clip`, audioPath: `${origin}/spee` });
    await mkdir(outputFolder);
    await createOutput(input.outputPath);
    expect((await jobsOf(neverCalled).run(input)).error).toMatchObject({ code });
    expect(requests).toEqual([]);
  });

  it('A file that does not exist fails the job before the other input is downloaded.', async () => {
    answer = () => {
      throw new Error('a request was sent');
    };
    const input = jobInput({ videoPath: `${origin}/clip`, audioPath: join(folder, 'missing.wav') });
    expect((await jobsOf(neverCalled).run(input)).error).toMatchObject({ code: 'not_found' });
  });
});

describe('The output of an in-process job', () => {
  beforeEach(() => mkdir(outputFolder));

  it('An existing output is refused before any work and stays unchanged.', async () => {
    const input = jobInput();
    await writeFile(input.outputPath, 'mine');
    expect((await jobsOf(neverCalled).run(input, {})).error).toMatchObject({ code: 'output_exists' });
    expect(await readFile(input.outputPath, 'utf8')).toBe('mine');
  });

  it('A file that appears at the output path during the work stays unchanged.', async () => {
    const input = jobInput();
    const { error } = await jobsOf(async (given, context) => {
      await writeFile(input.outputPath, 'mine');
      return makeTake(given, context);
    }).run(input, {});
    expect(error).toMatchObject({ code: 'output_exists' });
    expect(await readFile(input.outputPath, 'utf8')).toBe('mine');
    expect(await contents(outputFolder)).toEqual(['take.mp4']);
  });

  it('An output that may be replaced stays readable until the new one is complete.', async () => {
    const input = jobInput({ overwrite: true });
    await writeFile(input.outputPath, 'the old one');
    const reader = await open(input.outputPath);
    try {
      await jobsOf(async (given, context) => {
        const made = await makeTake(given, context);
        expect(await readFile(input.outputPath, 'utf8')).toBe('the old one');
        return made;
      }).run(input, {});
      expect(await readFile(input.outputPath, 'utf8')).toBe('the clip speaking the speech');
      expect(await reader.readFile('utf8')).toBe('the old one');
    } finally {
      await reader.close();
    }
    expect(await contents(outputFolder)).toEqual(['take.mp4']);
  });

  it('An output that may be replaced stays if the job does not complete.', async () => {
    const input = jobInput({ overwrite: true });
    await writeFile(input.outputPath, 'the old one');
    const controller = new AbortController();
    await jobsOf(workUntilStopped(() => controller.abort())).run(input, { signal: controller.signal });
    expect(await readFile(input.outputPath, 'utf8')).toBe('the old one');
    expect(await contents(outputFolder)).toEqual(['take.mp4']);
  });

  it.each(['clip', 'speech'])(
    'An output that is its own %s is refused even with overwrite, and under another name.',
    async (name) => {
      await symlink(join(folder, name), join(folder, 'link'));
      for (const outputPath of [join(folder, name), join(folder, 'link')]) {
        const { error } = await jobsOf(neverCalled).run(jobInput({ outputPath, overwrite: true }), {});
        expect(error?.code).toBe('request_invalid');
      }
      expect(await readFile(join(folder, name), 'utf8')).toBe(`the ${name}`);
    },
  );

  it('Of two jobs with the same output, one is refused.', async () => {
    const jobs = jobsOf(makeTake);
    const outcomes = await Promise.all([jobInput(), jobInput({ overwrite: true })].map((input) => jobs.run(input, {})));
    expect(outcomes.flatMap(({ error }) => error?.code ?? [])).toEqual(['output_exists']);
    expect(await readFile(jobInput().outputPath, 'utf8')).toBe('the clip speaking the speech');
  });

  it('The output path is free again after a job failed.', async () => {
    const jobs = jobsOf(makeTake);
    await rm(join(folder, 'clip'));
    expect((await jobs.run(jobInput(), {})).error).toBeDefined();
    await writeFile(join(folder, 'clip'), 'another clip');
    expect((await jobs.run(jobInput(), {})).error).toBeUndefined();
  });
});

describe('The cost of an in-process job', () => {
  it('The cost is the sum of all attempts.', async () => {
    const attempt = {
      provider: 'preview',
      code: null,
      message: null,
      startedAtMs: 1,
      endedAtMs: 2,
      operation: null,
      operationAtMs: null,
      transientFailures: 0,
    } as const;
    const { record } = await jobsOf(async (input, context) => {
      await context.saveAttempts([
        { ...attempt, outcome: 'failed', costMicros: 5 },
        { ...attempt, outcome: 'succeeded', costMicros: 7 },
      ]);
      return makeTake(input, context);
    }).run(jobInput(), {});
    expect(costOf(record)).toBe(12);
  });
});

it('A paid take that was rejected survives a full disk of the output while the next provider works.', async () => {
  const attempt = { code: null, message: null, startedAtMs: 1, endedAtMs: 2, costMicros: null, operation: null };
  const common = { ...attempt, operationAtMs: null, transientFailures: 0 };
  let isFull = true;
  const jobs = jobsOf(async ({ workspace }, context) => {
    const { checkStorage, earlierAttempts, keptTakes, saveAttempts } = context;
    if (earlierAttempts.length > 0)
      return { type: 'made', takePath: keptTakes.pathOf(0), methodUsed: 'heygen', ...take, attemptIndex: 0 };
    await writeFile(workspace.file('take.mp4'), 'the rejected take');
    await keptTakes.keep(workspace.file('take.mp4'), 0);
    const paid = {
      outcome: 'failed',
      code: 'quality_rejected',
      costMicros: 70,
      operation: { id: 'op', state: {} },
    } as const;
    await saveAttempts([
      { ...common, ...paid, provider: 'heygen', take },
      { ...common, outcome: 'running', provider: 'wav2lip' },
    ]);
    if (isFull) {
      await rm(outputFolder, { recursive: true });
      await writeFile(outputFolder, '');
    }
    await checkStorage?.();
    throw new Error('The output can be written.');
  });
  const { error } = await jobs.run(jobInput(), {});
  expect(error).toMatchObject({ code: 'storage_unwritable', message: expect.stringContaining('repeat the request') });
  isFull = false;
  await rm(outputFolder);
  expect((await jobs.run(jobInput(), {})).record).toMatchObject({ status: 'completed' });
  expect(await readFile(join(outputFolder, 'take.mp4'), 'utf8')).toBe('the rejected take');
  expect(await contents(workFolder)).toEqual([]);
});

describe('Workspaces of killed processes', () => {
  it('The next job removes the workspace of a dead process and keeps that of a living one.', async () => {
    const dead = processFolderName({ ...(await thisProcess()), pid: spawnSync('true').pid });
    const living = processFolderName(await thisProcess());
    for (const name of [dead, living]) await mkdir(join(workFolder, name), { recursive: true });
    await writeFile(join(workFolder, dead, 'take.mp4'), 'half a video');
    await jobsOf(makeTake).run(jobInput(), {});
    expect(await contents(workFolder)).toEqual([living]);
  });
});
