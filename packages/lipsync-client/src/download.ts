import { LipsyncClientError } from './errors.ts';
import { invalidResponse, type Transport } from './transport.ts';
import { readChunks, wait } from './waits.ts';

/** The output of a job while it arrives. */
export interface Download {
  /** File name without a folder. */
  readonly name: string;
  /** Length of the whole file; null if the service does not state it. */
  readonly sizeBytes: number | null;
  /** The content. A broken connection continues where it broke. Cancel it to stop early. */
  readonly stream: ReadableStream<Uint8Array>;
}

/** Opens the file at `path` of the service. Throws the code `not_found` if there is none. */
export async function openDownload(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Download> {
  const headers = { Accept: '*/*' };
  const response = await transport.open({ path, headers, signal });
  const length = response.headers.get('Content-Length');
  const file = { path, etag: response.headers.get('ETag'), sizeBytes: length === null ? null : Number(length) };
  return {
    name: fileName(response.headers.get('Content-Disposition')) ?? 'output.mp4',
    sizeBytes: file.sizeBytes,
    stream: toStream(readWhole(transport, response, file, signal)),
  };
}

/** Like `ReadableStream.from`, which some browsers lack. */
function toStream(chunks: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await chunks.return();
    },
  });
}

interface RemoteFile {
  readonly path: string;
  readonly etag: string | null;
  readonly sizeBytes: number | null;
}

/** Yields the content, and requests the rest of the same file after a failure. */
async function* readWhole(
  transport: Transport,
  first: Response,
  file: RemoteFile,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  let response = first;
  let receivedBytes = 0;
  for (let failures = 0; ;) {
    try {
      if (!response.body) return;
      for await (const chunk of readChunks(response.body, { idleMs: transport.idleTimeoutMs, signal })) {
        receivedBytes += chunk.byteLength;
        failures = 0;
        yield chunk;
      }
      if (file.sizeBytes !== null && receivedBytes !== file.sizeBytes)
        throw invalidResponse(`The file has ${file.sizeBytes} bytes, but ${receivedBytes} arrived.`);
      return;
    } catch (error) {
      failures += 1;
      const mayContinue = error instanceof LipsyncClientError && error.retryable && file.etag !== null;
      if (!mayContinue || failures > transport.maxRetries) throw error;
      await wait(transport.delayMs(failures), signal);
      response = await openRest(transport, file, receivedBytes, signal);
    }
  }
}

async function openRest(
  transport: Transport,
  { path, etag }: RemoteFile,
  receivedBytes: number,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const headers = { Accept: '*/*', Range: `bytes=${receivedBytes}-`, 'If-Range': etag ?? '' };
  const response = await transport.open({ path, headers, signal });
  if (response.status === 206) return response;
  await response.body?.cancel();
  throw invalidResponse('The file changed during its download.');
}

/** The name in a `Content-Disposition` header, without folders. */
function fileName(header: string | null): string | undefined {
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(header ?? '')?.[1];
  const plain = /filename="((?:[^"\\]|\\.)*)"|filename=([^;\s]+)/i.exec(header ?? '');
  const name = encoded === undefined ? (plain?.[1]?.replace(/\\(.)/g, '$1') ?? plain?.[2]) : decode(encoded);
  const last = name?.split(/[/\\]/).at(-1);
  return last === '' || last === '.' || last === '..' ? undefined : last;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
