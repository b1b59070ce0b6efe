import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const openLimitMs = 10_000;

/** Memory that the output of a process is read into. */
export interface OutputTarget {
  /** Returns the memory for the next bytes, at least one byte. It may be shared between threads. */
  space(): Uint8Array;
  /** Receives the number of bytes that were written to the start of the last space. False pauses until `resume`. */
  fill(length: number): boolean;
}

/**
 * Reads the output of a process straight into the memory of its consumer. The streams of `child_process` allocate a
 * buffer per 64 KiB, and their garbage collection took longer than the reading.
 */
export interface OutputPipe {
  /** The end for the standard output of the process. `MediaProcess` closes it after the start. */
  readonly writeEnd: Socket;
  /** Calls `listener` at the end of the output. */
  onEnd(listener: () => void): void;
  resume(): void;
  close(): void;
}

/**
 * Opens a pipe over a Unix socket in a folder that only this user can enter. The caller closes it, and passes
 * `writeEnd` to a process or destroys it. Throws the system error, e.g. when too many files are open.
 */
export async function openOutputPipe(target: OutputTarget): Promise<OutputPipe> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-pipe-'));
  const server = createServer({ pauseOnConnect: true });
  try {
    const path = join(folder, 'output');
    const signal = AbortSignal.timeout(openLimitMs);
    server.listen(path);
    await once(server, 'listening', { signal });
    return await connectBoth(server, { path, target, signal });
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function connectBoth(
  server: ReturnType<typeof createServer>,
  { path, target, signal }: { readonly path: string; readonly target: OutputTarget; readonly signal: AbortSignal },
): Promise<OutputPipe> {
  const readEnd = connect({
    path,
    onread: { buffer: () => target.space(), callback: (length) => target.fill(length) },
  });
  // The process reports its own failure.
  readEnd.on('error', () => undefined);
  try {
    // `as`: the `connection` event of a server carries a socket.
    const [writeEnd] = (await once(server, 'connection', { signal })) as [Socket];
    return {
      writeEnd,
      onEnd: (listener) => void readEnd.once('close', () => listener()),
      resume: () => void readEnd.resume(),
      close: () => void readEnd.destroy(),
    };
  } catch (error) {
    readEnd.destroy();
    throw error;
  }
}
