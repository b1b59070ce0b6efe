import {
  createServer,
  request as sendRequest,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable, Transform } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** What the proxy does with a request instead of forwarding it unchanged. */
export type S3Fault =
  /** Answers as S3 does, without forwarding. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string }
  /** Never answers. */
  | { readonly kind: 'silence' }
  /** Forwards the content of request and response with a pause before every chunk. */
  | { readonly kind: 'slow'; readonly pauseMs: number }
  /** Changes one byte of the content that is sent or received, and removes the digests of the client. */
  | { readonly kind: 'corrupt' }
  /** Closes the connection in the middle of the response, or before one without content. */
  | { readonly kind: 'cut' };

/** A request, as faults choose among them. */
export interface S3Request {
  readonly method: string;
  /** Key in the bucket, without the bucket; empty for requests to the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
}

export interface S3Proxy {
  readonly url: string;
  /** Decides about each request; replaced by the next call, removed by `undefined`. */
  setFault(choose: ((request: S3Request) => S3Fault | undefined) | undefined): void;
  /** All requests so far. */
  readonly requests: readonly S3Request[];
  close(): Promise<void>;
}

/** Starts a proxy in front of s3rver that also lists and aborts multipart uploads, which s3rver does not. */
export async function startS3Proxy(serverPort: number): Promise<S3Proxy> {
  let choose: ((request: S3Request) => S3Fault | undefined) | undefined;
  const requests: S3Request[] = [];
  const uploads = new Map<string, { readonly key: string; readonly startedAt: Date }>();
  const proxy = createServer((request, response) => {
    const { method = 'GET', url = '/' } = request;
    const { pathname, searchParams: query } = new URL(url, 'http://proxy');
    const facts = { method, key: decodeURIComponent(pathname.split('/').slice(2).join('/')), query };
    requests.push(facts);
    const fault = choose?.(facts);
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'error') return sendError(request, response, fault);
    const uploadId = query.get('uploadId');
    if (method === 'GET' && facts.key === '' && query.has('uploads')) return sendUploads(response, uploads);
    if (method === 'DELETE' && uploadId !== null) {
      uploads.delete(uploadId);
      return void response.writeHead(204).end();
    }
    if (method === 'POST' && uploadId !== null) uploads.delete(uploadId);
    const onStart = (id: string): void => void uploads.set(id, { key: facts.key, startedAt: new Date() });
    forward(request, response, { serverPort, fault, ...(query.has('uploads') && { onStart }) });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  // `as`: a TCP server has an address with a port.
  const { port } = proxy.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    setFault(next) {
      choose = next;
    },
    async close() {
      proxy.closeAllConnections();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

interface Forwarding {
  readonly serverPort: number;
  readonly fault: S3Fault | undefined;
  /** Receives the id of the multipart upload that the request begins. */
  readonly onStart?: (uploadId: string) => void;
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { serverPort: port, fault, onStart }: Forwarding,
): void {
  const { method, url: path } = request;
  const headers = { ...request.headers };
  if (fault?.kind === 'corrupt') delete headers['content-md5'];
  const upstream = sendRequest({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
    if (onStart) answer.once('data', (chunk: Buffer) => onStart(/<UploadId>(.*?)</.exec(`${chunk}`)?.[1] ?? ''));
    if (fault?.kind === 'cut' && method === 'PUT') return void response.destroy();
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    if (fault?.kind === 'cut') return cutAnswer(answer, response);
    pipe(change(answer, fault), response);
  });
  upstream.on('error', () => response.destroy());
  pipe(change(request, fault), upstream);
}

/** Either side may close its connection. */
function pipe(source: NodeJS.ReadableStream, target: ClientRequest | ServerResponse): void {
  source.on('error', () => target.destroy());
  source.pipe(target);
}

/** Sends half of the first chunk; without content, nothing. */
function cutAnswer(answer: IncomingMessage, response: ServerResponse): void {
  answer.once('data', (chunk: Buffer) =>
    response.write(chunk.subarray(0, chunk.byteLength / 2), () => response.destroy()),
  );
  answer.once('end', () => response.destroy());
}

function change(source: IncomingMessage, fault: S3Fault | undefined): NodeJS.ReadableStream {
  if (fault?.kind === 'slow') return Readable.from(pauseBefore(source, fault.pauseMs));
  if (fault?.kind !== 'corrupt') return source;
  return source.pipe(
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        const changed = Buffer.from(chunk);
        changed[0] = (changed[0] ?? 0) ^ 0xff;
        done(null, changed);
      },
    }),
  );
}

async function* pauseBefore(source: AsyncIterable<Buffer>, pauseMs: number): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    await delay(pauseMs);
    yield chunk;
  }
}

function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  { status, code }: Extract<S3Fault, { kind: 'error' }>,
): void {
  request.resume();
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
  response.writeHead(status, { 'Content-Type': 'application/xml', 'Content-Length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function sendUploads(
  response: ServerResponse,
  uploads: ReadonlyMap<string, { readonly key: string; readonly startedAt: Date }>,
): void {
  const listed = [...uploads].map(
    ([id, { key, startedAt }]) =>
      `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${startedAt.toISOString()}</Initiated></Upload>`,
  );
  response.writeHead(200, { 'Content-Type': 'application/xml' });
  response.end(`<ListMultipartUploadsResult>${listed.join('')}</ListMultipartUploadsResult>`);
}
