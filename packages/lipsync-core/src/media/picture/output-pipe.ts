import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Exceeds the socket buffer of the system. */
const bufferBytes = 256 * 1024;
const openLimitMs = 10_000;

/**
 * Reads the output of a process into one reused buffer. The streams of `child_process` allocate a buffer per 64 KiB,
 * and their garbage collection took longer than the reading.
 */
export interface OutputPipe {
  /** The end for the standard output of the process. `MediaProcess` closes it after the start. */
  readonly writeEnd: Socket;
  /** Sets the consumer of all output. The bytes are valid only during the call. False pauses until `resume`. */
  onBytes(consume: (bytes: Uint8Array) => boolean): void;
  /** Calls `listener` at the end of the output. */
  onEnd(listener: () => void): void;
  resume(): void;
  close(): void;
}

/**
 * Opens a pipe over a Unix socket in a folder that only this user can enter. The caller closes it, and passes
 * `writeEnd` to a process or destroys it. Throws the system error, e.g. when too many files are open.
 */
export async function openOutputPipe(): Promise<OutputPipe> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-pipe-'));
  const server = createServer({ pauseOnConnect: true });
  try {
    const path = join(folder, 'output');
    const signal = AbortSignal.timeout(openLimitMs);
    server.listen(path);
    await once(server, 'listening', { signal });
    return await connectBoth(server, path, signal);
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function connectBoth(
  server: ReturnType<typeof createServer>,
  path: string,
  signal: AbortSignal,
): Promise<OutputPipe> {
  let consume: (bytes: Uint8Array) => boolean = () => true;
  const buffer = new Uint8Array(bufferBytes);
  const readEnd = connect({ path, onread: { buffer, callback: (length) => consume(buffer.subarray(0, length)) } });
  // The process reports its own failure.
  readEnd.on('error', () => undefined);
  try {
    // `as`: the `connection` event of a server carries a socket.
    const [writeEnd] = (await once(server, 'connection', { signal })) as [Socket];
    return {
      writeEnd,
      onBytes: (consumer) => void (consume = consumer),
      onEnd: (listener) => void readEnd.once('close', () => listener()),
      resume: () => void readEnd.resume(),
      close: () => void readEnd.destroy(),
    };
  } catch (error) {
    readEnd.destroy();
    throw error;
  }
}
