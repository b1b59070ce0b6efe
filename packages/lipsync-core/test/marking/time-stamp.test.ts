import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { blobOfBytes, loadC2pa } from '../../src/marking/c2pa-library.ts';
import { createAuthority, createSigner } from '../../src/marking/certificate-authority.ts';
import { markOutputTask } from '../../src/marking/mark-output-task.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import { makeMedia, x264 } from '../media/make-media.ts';
import { verifyBySpecification } from './specification.ts';

const resources = new RenderResources();
const run = promisify(execFile);
const servers: Server[] = [];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-stamps-'));
  await makeMedia('-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', ...x264, join(folder, 'take.mp4'));
  await makeAuthorityFiles();
});

afterAll(() => rm(folder, { recursive: true }));

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const openssl = (...args: readonly string[]) => run('openssl', args, { cwd: folder });

/** A time-stamp authority with a certificate of its own root. */
async function makeAuthorityFiles(): Promise<void> {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const extensions =
    'keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\nbasicConstraints=CA:FALSE';
  await writeFile(join(folder, 'extensions'), extensions);
  await writeFile(
    join(folder, 'tsa.cnf'),
    [
      '[tsa]\ndefault_tsa=stamps\n[stamps]\nserial=./serial\nsigner_cert=tsa.pem\nsigner_key=tsa.key\ncerts=root.pem',
      'signer_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256\ness_cert_id_alg=sha256\n',
    ].join('\n'),
  );
  await openssl('req', '-x509', ...newKey, '-keyout', 'root.key', '-out', 'root.pem', '-subj', '/O=Test/CN=Root');
  await openssl('req', ...newKey, '-keyout', 'tsa.key', '-out', 'tsa.csr', '-subj', '/O=Test/CN=Stamps');
  const issue = ['-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial', '-extfile', 'extensions'];
  await openssl('x509', '-req', '-in', 'tsa.csr', ...issue, '-out', 'tsa.pem');
}

async function stampOf(query: Buffer): Promise<Buffer> {
  await writeFile(join(folder, 'query'), query);
  await openssl('ts', '-reply', '-config', 'tsa.cnf', '-queryfile', 'query', '-out', 'reply');
  return readFile(join(folder, 'reply'));
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
}

const authority = (): Promise<string> =>
  serve((request, response) => {
    void buffer(request).then(async (query) => response.end(await stampOf(query)));
  });

const rootOf = (pem: { readonly certificates: readonly string[] }): string => pem.certificates[0] ?? '';

async function markWith(url: string, timeoutMs = 10_000) {
  const nowMs = Date.now();
  const root = await createAuthority(nowMs);
  const targetPath = join(folder, 'marked.mp4');
  const warnings = await markOutputTask(
    {
      sourcePath: join(folder, 'take.mp4'),
      targetPath,
      clipPath: null,
      speechPath: null,
      facts: { id: 'id', markedAt: new Date(nowMs).toISOString(), provider: 'p', modelDigest: null, version: '1' },
      identity: await createSigner(root, nowMs),
      withXmp: true,
      aigcProducer: null,
      timeStampAuthority: url === '' ? null : { url, timeoutMs },
    },
    { signal: new AbortController().signal, resources, onProgress: () => undefined },
  );
  return { file: await readFile(targetPath), warnings, root: rootOf(root) };
}

async function read(file: Buffer, root: string, verify: object = {}) {
  const { Reader } = await resources.get(loadC2pa);
  const settings = JSON.stringify({ trust: { user_anchors: root }, verify });
  const reader = await Reader.fromBlob('video/mp4', blobOfBytes(file), settings);
  const report = JSON.parse(reader.json());
  reader.free();
  return { state: report.validation_state, results: report.validation_results.activeManifest };
}

const codesOf = (entries: readonly { code: string }[]): readonly string[] => entries.map(({ code }) => code);

it.each(['tsa.example.org', 'ftp://tsa.example.org', 'https://', 'https://name:word@tsa.example.org'])(
  'LIPSYNC_TIMESTAMP_URL=%s is refused at start.',
  (url) => {
    const fault = /LIPSYNC_TIMESTAMP_URL.* must be an http or https URL/;
    expect(() => configFromEnvironment({ LIPSYNC_TIMESTAMP_URL: url })).toThrow(fault);
  },
);

describe('The time stamp of an authority', () => {
  it('It is part of the signature, and readers find it valid.', async () => {
    const { file, warnings, root } = await markWith(await authority());
    expect(warnings).toEqual([]);
    expect(verifyBySpecification(file, root)).toMatchObject({ signatureIsValid: true, fileIsUnchanged: true });
    const { state, results } = await read(file, root);
    expect(state).toBe('Trusted');
    expect(codesOf(results.success)).toContain('timeStamp.validated');
  });

  it('For readers that trust the authority, a mark stays valid after its certificate has expired.', async () => {
    const stamped = await markWith(await authority());
    const plain = await markWith('');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 11 * 365 * 86_400_000 });
    try {
      const trusting = { verify_timestamp_trust: false };
      expect(await read(stamped.file, stamped.root, trusting)).toMatchObject({ state: 'Trusted' });
      expect(await read(plain.file, plain.root, trusting)).toMatchObject({ state: 'Invalid' });
      expect(await read(stamped.file, stamped.root)).toMatchObject({ state: 'Invalid' });
    } finally {
      vi.useRealTimers();
    }
  });

  it.each<[string, RequestListener]>([
    ['does not answer', () => undefined],
    ['answers with an error', (_, response) => response.writeHead(500).end()],
    ['answers with rubbish', (_, response) => response.end('<html>')],
    ['answers with too much', (_, response) => response.end(Buffer.alloc(100_000, 0x30))],
    ['redirects', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['refuses', (_, response) => response.end(Buffer.from('30053003020102', 'hex'))],
    [
      'stamps something else',
      (request, response) => {
        void buffer(request).then(async (query) => {
          const digestStart = 24;
          query[digestStart] = (query[digestStart] ?? 0) ^ 1;
          response.end(await stampOf(query));
        });
      },
    ],
  ])('An authority that %s leaves a valid mark without a stamp, and a warning.', async (_, listener) => {
    const { file, warnings, root } = await markWith(await serve(listener), 500);
    expect(warnings).toEqual([expect.objectContaining({ code: 'output_not_time_stamped' })]);
    const { state, results } = await read(file, root);
    expect([state, ...codesOf(results.success).filter((code) => code.startsWith('timeStamp'))]).toEqual(['Trusted']);
  });
});
