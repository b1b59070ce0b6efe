import { createServer, type Server, type Socket } from 'node:net';
import { toFailure } from '../../../errors/carried-failure.ts';
import { toLipsyncError } from '../../../errors/index.ts';
import { createMessageReader, encodeHeader, payloadBytesOf, protocolFault, type Message } from './engine-protocol.ts';
import type { ModelQueue } from './model-queue.ts';

export interface EngineServerOptions {
  readonly queue: ModelQueue;
  readonly socketPath: string;
  readonly batchSize: number;
  readonly heartbeatMs: number;
}

/** Batches of one client that are read before earlier ones are answered; the rest waits in its socket. */
const batchesAhead = 3;
const maxClients = 64;
const maxMessageCharacters = 1_000;

/**
 * Lets clients have faces drawn over a socket, each client's answers in the order of its batches. A client that says
 * what is not understood is told so and cut off; one that fails harms no other.
 */
export async function openEngineServer(options: EngineServerOptions): Promise<void> {
  const server = createServer((socket) => serveClient(socket, options));
  server.maxConnections = maxClients;
  await listening(server, options.socketPath);
}

function listening(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(toLipsyncError(error)));
    server.listen(socketPath, resolve);
  });
}

function serveClient(socket: Socket, { queue, batchSize, heartbeatMs }: EngineServerOptions): void {
  let waiting = 0;
  let largestBatch = batchSize;
  // Said again with every answer, so that the client's figure needs no message of its own.
  let reducedTo = 0;
  const heartbeat = setInterval(() => {
    // A client that does not read does not need to be told either.
    if (waiting > 0 && socket.writableLength === 0)
      socket.write(encodeHeader({ type: 'alive', count: 0, note: 0, payloadBytes: 0 }));
  }, heartbeatMs);

  const draw = async ({ header: { count }, payload }: Message): Promise<void> => {
    waiting += 1;
    if (waiting >= batchesAhead) socket.pause();
    try {
      const drawn = await queue.draw({ count, payload, largestBatch, isWanted: () => !socket.destroyed });
      if (drawn.reducedTo !== null) {
        // A batch that was under way meanwhile began with the size of before.
        largestBatch = Math.min(largestBatch, drawn.reducedTo);
        reducedTo = largestBatch;
      }
      const payloadBytes = payloadBytesOf('faces', count, queue.cropSizePx);
      await write(socket, encodeHeader({ type: 'faces', count, note: reducedTo, payloadBytes }), drawn.faces);
    } catch (error) {
      await writeFailure(socket, error);
    } finally {
      waiting -= 1;
      socket.resume();
    }
  };
  const read = createMessageReader(queue.cropSizePx, (message) => {
    if (message.header.type !== 'batch' && message.header.type !== 'batch_with_references')
      throw protocolFault(`${message.header.type} is not for an engine`);
    void draw(message);
  });
  socket.on('data', (piece) => {
    try {
      read(typeof piece === 'string' ? Buffer.from(piece) : piece);
    } catch (error) {
      socket.removeAllListeners('data');
      void writeFailure(socket, error).then(() => socket.destroy());
    }
  });
  // What went wrong with a client is for the client to notice; here its end is enough.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => clearInterval(heartbeat));
}

async function writeFailure(socket: Socket, thrown: unknown): Promise<void> {
  const { code, message, cause } = toFailure(thrown);
  const text = JSON.stringify({
    code,
    message: message.slice(0, maxMessageCharacters),
    cause: cause.slice(0, maxMessageCharacters),
  });
  const payload = Buffer.from(text);
  await write(socket, encodeHeader({ type: 'failed', count: 0, note: 0, payloadBytes: payload.length }), payload);
}

/** Resolves when the socket has taken everything, or is gone. */
function write(socket: Socket, header: Uint8Array, payload: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.once('close', resolve);
    socket.cork();
    socket.write(header);
    socket.write(payload, () => {
      socket.off('close', resolve);
      resolve();
    });
    socket.uncork();
  });
}
