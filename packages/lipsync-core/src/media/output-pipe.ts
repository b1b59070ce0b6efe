import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** As much as the system holds for a reader, and more than once over. */
const bufferBytes = 256 * 1024;
const openLimitMs = 10_000;

/**
 * What a process writes, read into one buffer that is used again and again. The streams of `child_process` make a buffer
 * for each 64 KiB instead, and collecting those took more time than reading them.
 */
export interface OutputPipe {
  /** The process's end, to be its standard output. Closed here once it has started. */
  readonly theirs: Socket;
  /** Has `take` called with all that is written; the bytes are there during the call only. False pauses until `resume`. */
  onBytes(take: (bytes: Uint8Array) => boolean): void;
  /** Called when nothing more will come. */
  onEnd(listener: () => void): void;
  resume(): void;
  /** Lets go of our end. */
  close(): void;
}

/**
 * Opens a pipe through a socket in a folder that only this user can look into. The caller closes it, and hands `theirs` to a
 * process or destroys it. Throws what the system throws, e.g. when no more files may be opened.
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
  let take: (bytes: Uint8Array) => boolean = () => true;
  const buffer = new Uint8Array(bufferBytes);
  const ours = connect({ path, onread: { buffer, callback: (length) => take(buffer.subarray(0, length)) } });
  // Its end says enough: why nothing comes is for the process to say.
  ours.on('error', () => undefined);
  try {
    // `as`: what a server's event of that name carries.
    const [theirs] = (await once(server, 'connection', { signal })) as [Socket];
    return {
      theirs,
      onBytes: (taker) => void (take = taker),
      onEnd: (listener) => void ours.once('close', () => listener()),
      resume: () => void ours.resume(),
      close: () => void ours.destroy(),
    };
  } catch (error) {
    ours.destroy();
    throw error;
  }
}
