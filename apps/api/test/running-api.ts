import { once } from 'node:events';
import { request } from 'node:http';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createIdSource,
  listen,
  newJobRecord,
  systemClock,
  type ArtifactStore,
  type InputReference,
  type JobStart,
  type JobStore,
  silentLogger,
} from '@lipsync/core/host';
import type { Environment } from '@lipsync/core/config';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { createApp } from '../src/app.ts';
import { apiConfigFromEnvironment } from '../src/config.ts';
import type { ApiDependencies } from '../src/dependencies.ts';
import { wireApi } from '../src/wiring.ts';

const maxUploadBytes = 200_000;

/** The API on a free port, with its own Redis and folders. */
export interface RunningApi {
  readonly url: string;
  readonly redis: TestRedis;
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly maxUploadBytes: number;
  readonly dataDir: string;
  readonly dependencies: ApiDependencies;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  post(
    path: string,
    body?: FormData | string | Uint8Array<ArrayBuffer>,
    headers?: Record<string, string>,
  ): Promise<Response>;
  postJson(path: string, body: unknown): Promise<Response>;
  /** Sends a part of a video, waits until a part of it is stored, then closes the connection. */
  interruptUpload(): Promise<void>;
  /** Files below the data folder, relative to it, without the id of the store. */
  storedFiles(): Promise<string[]>;
  /** Payload of the queue entry of the job; undefined without one. */
  queuedPayload(id: string): Promise<unknown>;
  /** Records a job without queuing it. */
  recordJob(change?: { readonly video?: InputReference; readonly start?: JobStart }): Promise<string>;
  /** Publishes `content` as output and completes the job, as a worker with this engine version does. */
  complete(id: string, content: string, engineVersion?: string): Promise<void>;
  /** Fails the job, as a worker does. */
  fail(id: string): Promise<void>;
  /** Starts a second API with connections of its own on the same Redis and folders. The caller stops it. */
  another(): Promise<{ readonly url: string; stop(): Promise<void> }>;
  close(): Promise<void>;
}

export async function startApi(
  overrides: Partial<ApiDependencies> = {},
  settings: Environment = {},
): Promise<RunningApi> {
  const redis = await startTestRedis();
  const folder = await mkdtemp(join(tmpdir(), 'api-'));
  const config = apiConfigFromEnvironment({
    REDIS_URL: redis.url,
    PORT: '0',
    LIPSYNC_DATA_DIR: join(folder, 'data'),
    LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
    LIPSYNC_MAX_UPLOAD_BYTES: String(maxUploadBytes),
    ...settings,
  });
  const wired = wireApi(config, overrides.logger ?? silentLogger);
  const dependencies = { ...wired.dependencies, ...overrides };
  const server = await listen(createApp(dependencies), { ...config, settings: 'HOST, PORT' });
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  const store = new RedisJobStore({ connection });
  const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  const { artifacts } = wired.dependencies;
  const ids = createIdSource(systemClock);
  const call = (path: string, init: RequestInit = {}) => fetch(`${server.url}${path}`, init);

  return {
    url: server.url,
    redis,
    store,
    artifacts,
    maxUploadBytes,
    dataDir: config.core.dataDir,
    dependencies,
    fetch: call,
    post: (path, body, headers = {}) =>
      call(path, { method: 'POST', headers, ...(body === undefined ? {} : { body }) }),
    postJson: (path, body) =>
      call(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    interruptUpload: () => interruptUpload(server.url, () => filesBelow(config.core.dataDir)),
    storedFiles: async () =>
      (await filesBelow(config.core.dataDir)).filter((path) => !/^inputs\/\.(?:store|outputs)-id$/.test(path)),
    queuedPayload: async (id) => (await (await producer.queue('render')).getJob(id))?.data,
    async recordJob(change = {}) {
      const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
      const record = newJobRecord({
        id: ids.jobId(),
        options: lipsyncOptionsSchema.parse({}),
        video: input,
        audio: input,
        owner: null,
        nowMs: Date.now(),
        ...change,
      });
      await store.create(record);
      return record.id;
    },
    async complete(id, content, engineVersion) {
      const path = join(folder, 'take.mp4');
      await writeFile(path, content);
      const { key } = await artifacts.publish(path, `outputs/${id}/output.mp4`);
      const { runs } = await store.append(id, { type: 'run_started', atMs: Date.now() });
      const result = {
        methodUsed: 'preview',
        degraded: true,
        cached: false,
        durationMs: 1_000,
        outputKey: key,
      } as const;
      const completed = { type: 'completed', run: runs, atMs: Date.now(), result, warnings: [] } as const;
      await store.append(id, { ...completed, ...(engineVersion !== undefined && { engineVersion }) });
    },
    async fail(id) {
      const { runs } = await store.append(id, { type: 'run_started', atMs: Date.now() });
      await store.append(id, {
        type: 'failed',
        run: runs,
        atMs: Date.now(),
        code: 'media_failed',
        message: 'ffmpeg failed.',
        warnings: [],
      });
    },
    async another() {
      const second = wireApi(config, silentLogger);
      const { url, stop } = await listen(createApp(second.dependencies), { ...config, settings: 'HOST, PORT' });
      return { url, stop: () => stop(0).then(second.close) };
    },
    async close() {
      await server.stop(0);
      await wired.close();
      await producer.close().catch(() => undefined);
      connection.disconnect();
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Keys of two tenants and an operator. The secret of each is its name and `-secret`. */
export const tenantKeys = [
  { name: 'alice', secret: 'alice-secret', isAdmin: false },
  { name: 'bob', secret: 'bob-secret', isAdmin: false },
  { name: 'operator', secret: 'operator-secret', isAdmin: true },
];
export type Tenant = 'alice' | 'bob' | 'operator';

export function authorizationOf(tenant: Tenant): { readonly Authorization: string } {
  return { Authorization: `Bearer ${tenant}-secret` };
}

/** Creates a form with both files, followed by the given fields. */
export function form(fields: Record<string, string> = {}): FormData {
  const body = new FormData();
  body.append('video', new Blob(['clip']), 'clip.mp4');
  body.append('audio', new Blob(['speech']), 'speech.wav');
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

/** Returns the status of a request with headers that fetch does not allow. */
export function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

// oxlint-disable-next-line typescript/no-explicit-any -- the expectations of the tests check the shape
export async function json(response: Response): Promise<any> {
  return response.json();
}

export interface ReceivedEvent {
  readonly event: string;
  readonly id: string;
  readonly data: unknown;
}

/** Yields the events of a stream without comments. */
export async function* eventsOf(response: Response): AsyncGenerator<ReceivedEvent, void> {
  if (!response.body) return;
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks.filter((candidate) => !candidate.startsWith(':'))) yield parseEvent(block);
  }
}

function parseEvent(block: string): ReceivedEvent {
  const lines = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  return { event: lines.get('event') ?? '', id: lines.get('id') ?? '', data: JSON.parse(lines.get('data') ?? 'null') };
}

async function interruptUpload(url: string, listFiles: () => Promise<string[]>): Promise<void> {
  const { hostname, port } = new URL(url);
  const before = (await listFiles()).length;
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(
    `POST /lipsync HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 150000\r\n\r\n`,
  );
  socket.write('--x\r\nContent-Disposition: form-data; name="video"; filename="clip.mp4"\r\n\r\n');
  socket.write(Buffer.alloc(100_000));
  const deadlineAt = Date.now() + 5_000;
  while ((await listFiles()).length === before) {
    if (Date.now() > deadlineAt) throw new Error('The upload was not stored in time.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  socket.destroy();
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
