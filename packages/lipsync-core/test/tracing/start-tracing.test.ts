import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { isTracingRequested } from '../../src/config/tracing-config.ts';

const program = fileURLToPath(new URL('fixture/traced-program.ts', import.meta.url));

interface Counts {
  /** Modules of SDK and exporters. */
  readonly sdkModules: number;
  readonly spans: number;
  /** Reasons of the logged warnings. */
  readonly problems: readonly string[];
  readonly stopMs: number;
}

/** Runs a program that opens a span; resolves with what it counted. */
async function runProgram(environment: Record<string, string>): Promise<Counts> {
  const env = { PATH: process.env['PATH'], ...environment };
  const { stdout } = await promisify(execFile)(process.execPath, [program], { env, cwd: import.meta.dirname });
  return JSON.parse(stdout);
}

it.each([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, false],
  [{ OTEL_SERVICE_NAME: 'lipsync' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }, true],
  [{ OTEL_TRACES_EXPORTER: 'otlp' }, true],
  [{ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, false],
  [{ OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, false],
])('The variables %j request traces: %j.', (environment, isRequested) => {
  expect(isTracingRequested(environment)).toBe(isRequested);
});

it.each([{}, { OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }])(
  'With the variables %j, no module of an SDK or exporter is loaded and no span is created.',
  { timeout: 30_000 },
  async (environment) => {
    expect(await runProgram(environment)).toMatchObject({ sdkModules: 0, spans: 0 });
  },
);

it.each([
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'nonsense' }, /nonsense/],
  [{ OTEL_TRACES_EXPORTER: 'nope' }, /OTEL_TRACES_EXPORTER.*nope/],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'bogus', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }, /protocol: bogus/],
  [{ OTEL_TRACES_SAMPLER: 'all', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }, /OTEL_TRACES_SAMPLER.*all/],
])(
  'The variables %j are logged as a problem, and the program runs.',
  { timeout: 30_000 },
  async (variables, reason) => {
    const { problems } = await runProgram(variables);
    expect(problems[0]).toMatch(reason);
  },
);

it('A collector that refuses spans is logged.', { timeout: 60_000 }, async () => {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(403).end();
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await new Promise((resolve) => void server.once('listening', resolve));
  // `as`: the address of a TCP server is an object.
  const { port } = server.address() as AddressInfo;
  const { problems } = await runProgram({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  expect(problems).toEqual([expect.stringMatching(/Forbidden|403/)]);
});

it('A collector receives the span before the process ends.', { timeout: 60_000 }, async () => {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    request.resume();
    response.end('{}');
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await new Promise((resolve) => void server.once('listening', resolve));
  // `as`: the address of a TCP server is an object.
  const { port } = server.address() as AddressInfo;
  const counts = await runProgram({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  expect(counts.spans).toBe(1);
  expect(paths).toEqual(['/v1/traces']);
});

it('A collector that never answers delays the end by at most a few seconds.', { timeout: 60_000 }, async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => void server.once('listening', resolve));
  // `as`: the address of a TCP server is an object.
  const { port } = server.address() as AddressInfo;
  const { stopMs } = await runProgram({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  expect(stopMs).toBeLessThan(4_000);
});
