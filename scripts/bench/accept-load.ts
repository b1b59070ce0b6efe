import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const jobUrls = JSON.stringify({
  video_url: 'https://example.org/clip.mp4',
  audio_url: 'https://example.org/speech.wav',
});

export interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Whether each request has an `Idempotency-Key` of its own. */
  readonly hasKeys: boolean;
}

export interface LoadFigures {
  readonly accepted: number;
  readonly acceptedPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Sends `POST /lipsync` by URL over kept connections, one request at a time on each. Throws for another answer than 202. */
export async function loadAccepts({ url, connections, durationMs, hasKeys }: LoadOptions): Promise<LoadFigures> {
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + durationMs;
  const work = Array.from({ length: connections }, async () => {
    const connection = await openConnection(url);
    while (performance.now() < endMs) {
      const sentMs = performance.now();
      await connection.accept(hasKeys);
      latenciesMs.push(performance.now() - sentMs);
    }
    connection.close();
  });
  await Promise.all(work);
  const tookMs = performance.now() - startedMs;
  const sorted = latenciesMs.toSorted((one, other) => one - other);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? NaN;
  return {
    accepted: sorted.length,
    acceptedPerSecond: (sorted.length * 1_000) / tookMs,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

export interface KeptConnection {
  /** Creates a job and returns its id. */
  accept(hasKey: boolean): Promise<string>;
  close(): void;
}

/** A bare HTTP/1.1 client: the one of Node would need more time on the core than the API. */
export async function openConnection(url: string): Promise<KeptConnection> {
  const { hostname, host, port } = new URL(url);
  const socket = connect(Number(port), hostname).setNoDelay();
  await once(socket, 'connect');
  const head = `POST /lipsync HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${jobUrls.length}\r\n`;
  return {
    async accept(hasKey) {
      socket.write(`${head}${hasKey ? `Idempotency-Key: ${randomUUID()}\r\n` : ''}\r\n${jobUrls}`);
      const { status, body } = await readResponse(socket);
      if (status !== 202) throw new Error(`The API answered ${status}: ${body}`);
      return /"id":"([^"]+)"/.exec(body)?.[1] ?? '';
    },
    close: () => socket.destroy(),
  };
}

function readResponse(socket: Socket): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (): void => void socket.off('data', onData).off('error', onError).off('close', onClose);
    const onError = (error: Error): void => (finish(), reject(error));
    const onClose = (): void => onError(new Error('The API closed the connection.'));
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const bodyAt = text.indexOf('\r\n\r\n') + 4;
      if (bodyAt < 4) return;
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < bodyAt + length) return;
      finish();
      resolve({ status: Number(text.slice(9, 12)), body: text.slice(bodyAt) });
    };
    socket.on('data', onData).on('error', onError).on('close', onClose);
  });
}
