import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCommandLine } from '../../src/cli/command-line.ts';
import { downloadModel } from '../../src/cli/model-download.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { currentProcess } from '../../src/processes/process-owner.ts';
import { processFolderName } from '../../src/processes/workspace.ts';
import { runCli } from './run-cli.ts';

const projectModels = join(dirname(dirname(dirname(dirname(import.meta.dirname)))), 'models');
const weights = Buffer.alloc(300_000, 'weights');
const sha256 = createHash('sha256').update(weights).digest('hex');

let folder: string;
let server: Server | undefined;
let requests = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-fetch-'));
  requests = 0;
  vi.stubEnv('LIPSYNC_ALLOWED_PRIVATE_HOSTS', '127.0.0.1');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** Starts the authors' server and writes a manifest with one model there. */
async function offer(answer: RequestListener, bytes = weights.length): Promise<string> {
  server = createServer((request, response) => {
    requests += 1;
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `http://127.0.0.1:${address.port}/weights.model`;
  const model = {
    name: 'speaker',
    role: 'scores speakers',
    licence: 'MIT (its authors)',
    source: 'https://example.org/speaker',
    commit: '0'.repeat(40),
    url,
    file: 'speaker.model',
    bytes,
    sha256,
    setting: 'ASD_MODEL_PATH',
  };
  const { models, importable } = JSON.parse(await readFile(join(projectModels, 'manifest.json'), 'utf8'));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'manifest.json'), JSON.stringify({ models, importable, fetchable: [model] }));
  return url;
}

const sendWeights: RequestListener = (_request, response) => response.end(weights);
const fetchSpeaker = (...flags: readonly string[]) =>
  runCli('models', 'fetch', 'speaker', '--folder', folder, ...flags);
const listFolder = async () => (await readdir(folder)).toSorted();

describe('models fetch', () => {
  it('models fetch shows license, size and address before it downloads, and names the setting afterwards.', async () => {
    const url = await offer(sendWeights);
    const path = join(folder, 'speaker.model');
    const { exitCode, stdout, stderr } = await fetchSpeaker('--yes');
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${path}\n` });
    expect(stderr).toMatch(/license {5}MIT \(its authors\)\nsize {8}0\.3 MB\n[^]*100% verified\n/);
    expect(stderr).toContain(url);
    expect(stderr).toContain(`ASD_MODEL_PATH=${path}`);
    expect(await readFile(path)).toEqual(weights);
    expect(await listFolder()).toEqual(['manifest.json', 'speaker.model']);
  });

  it('models fetch without a terminal downloads nothing and names --yes.', async () => {
    await offer(sendWeights);
    const { exitCode, stderr } = await fetchSpeaker();
    expect(exitCode).toBe(2);
    expect(stderr).toContain('license     MIT (its authors)');
    expect(stderr).toMatch(/^error: --yes is required without a terminal/m);
    expect(requests).toBe(0);
  });

  it.each([
    ['y', 0, 1],
    ['no', 1, 0],
    ['', 1, 0],
  ])('In a terminal the answer %j to the license ends with code %i after %i requests.', async (answer, code, count) => {
    await offer(sendWeights);
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const shown = text(stderr);
    stdin.end(`${answer}\n`);
    const terminal = { stdin, stdout, stderr };
    expect(await createCommandLine(terminal).run(['models', 'fetch', 'speaker', '--folder', folder])).toBe(code);
    expect(requests).toBe(count);
    stderr.end();
    expect(await shown).toContain('Download speaker under this license (MIT (its authors))? [y/N]');
  });

  it('models fetch keeps a file that has the recorded digest, and replaces another one only with --overwrite.', async () => {
    await offer(sendWeights);
    await writeFile(join(folder, 'speaker.model'), 'other');
    expect((await fetchSpeaker('--yes')).stderr).toMatch(/^output_exists: .*--overwrite/m);
    expect(JSON.parse((await fetchSpeaker('--yes', '--json', '--overwrite')).stdout)).toMatchObject({
      status: 'fetched',
      sha256,
      setting: 'ASD_MODEL_PATH',
    });
    expect(JSON.parse((await fetchSpeaker('--json')).stdout)).toMatchObject({ status: 'present' });
    expect(requests).toBe(1);
  });

  it.each([
    [
      'other content',
      (): Buffer => Buffer.alloc(weights.length, 'other'),
      /model_invalid: .*expected 300000 bytes with sha256/,
    ],
    ['a longer file', (): Buffer => Buffer.alloc(weights.length + 1), /model_invalid: .*larger than the recorded/],
    ['a shorter file', (): Buffer => weights.subarray(1), /model_invalid: .*found 299999 bytes/],
  ])('models fetch keeps nothing of %s.', async (_name, content, message) => {
    await offer((_request, response) => response.end(content()));
    const { exitCode, stderr } = await fetchSpeaker('--yes');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(message);
    expect(await listFolder()).toEqual(['manifest.json']);
  });

  it('models fetch refuses a private address that the operator did not allow.', async () => {
    await offer(sendWeights);
    vi.stubEnv('LIPSYNC_ALLOWED_PRIVATE_HOSTS', '');
    expect((await fetchSpeaker('--yes')).stderr).toMatch(/^url_forbidden: /m);
    expect(requests).toBe(0);
  });

  it('models fetch explains that Wav2Lip and SyncNet are imported, and lists the names of other models.', async () => {
    for (const name of ['wav2lip', 'syncnet'])
      expect(await runCli('models', 'fetch', name, '--folder', projectModels)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(new RegExp(`^not_supported: "${name}" can only be imported.*models import`)),
      });
    expect(await runCli('models', 'fetch', 'blazeface', '--folder', projectModels)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('installed package'),
    });
    expect(await runCli('models', 'fetch', 'unknown', '--folder', projectModels)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('Choose lr-asd or dnsmos'),
    });
  });

  it('models list and models verify compare a fetched file with the manifest.', async () => {
    await offer(sendWeights);
    const list = async () => (await runCli('models', 'list', '--folder', folder)).stdout;
    const verify = () => runCli('models', 'verify', 'speaker', '--folder', folder);
    expect(await list()).toMatch(/^missing +speaker +fetched .*models fetch speaker$/m);
    expect((await verify()).exitCode).toBe(1);
    await fetchSpeaker('--yes');
    expect(await list()).toMatch(/^ok +speaker +fetched .*speaker\.model$/m);
    expect((await verify()).exitCode).toBe(0);
    await writeFile(join(folder, 'speaker.model'), 'changed');
    expect(await list()).toMatch(/^changed +speaker +fetched /m);
    expect(await verify()).toMatchObject({ exitCode: 1, stdout: expect.stringContaining('models fetch speaker') });
  });
});

describe('downloadModel', () => {
  const start = (
    url: string,
    controller = new AbortController(),
    onProgress: (done: number) => void = () => undefined,
  ) =>
    downloadModel({
      file: { url, bytes: weights.length, sha256 },
      outputPath: join(folder, 'speaker.model'),
      overwrite: false,
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
      signal: controller.signal,
      retryPauseMs: 1,
      onProgress,
    });

  it('A download that is cut off is repeated from the start.', async () => {
    const url = await offer((_request, response) => {
      response.writeHead(200, { 'content-length': weights.length });
      if (requests === 1) response.write(weights.subarray(0, 1_000), () => response.destroy());
      else response.end(weights);
    });
    await start(url);
    expect(requests).toBe(2);
    expect(await readFile(join(folder, 'speaker.model'))).toEqual(weights);
  });

  it('An aborted download leaves nothing, and the next one removes the folder of a killed one.', async () => {
    let isSlow = true;
    const url = await offer((_request, response) => {
      if (isSlow) response.write(weights.subarray(0, 1_000));
      else response.end(weights);
    });
    const controller = new AbortController();
    await expect(start(url, controller, () => controller.abort())).rejects.toMatchObject({ code: 'canceled' });
    expect(await listFolder()).toEqual(['manifest.json']);
    await mkdir(join(folder, processFolderName({ ...currentProcess(), pid: 999_999_999 })));
    isSlow = false;
    await start(url);
    expect(await listFolder()).toEqual(['manifest.json', 'speaker.model']);
  });

  it('A missing file at the address is reported with the host, without another try.', async () => {
    const url = await offer((_request, response) => response.writeHead(404).end());
    await expect(start(url)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringMatching(/^127\.0\.0\.1:\d+: the server responded with status 404/),
    });
    expect(requests).toBe(1);
  });

  it('Without a connection the message names the address and the path for a file from elsewhere.', async () => {
    const url = await offer(() => undefined);
    const closed = new URL(url);
    closed.port = '1';
    await expect(start(String(closed))).rejects.toMatchObject({
      code: 'fetch_failed',
      message: expect.stringMatching(
        /^127\.0\.0\.1:1 cannot be reached .* download http:\S+ elsewhere, save it as ".*"/,
      ),
    });
  });
});
