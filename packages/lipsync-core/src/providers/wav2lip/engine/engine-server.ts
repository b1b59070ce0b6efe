import { createServer, type Server, type Socket } from 'node:net';
import { toFailure } from '../../../errors/carried-failure.ts';
import { toLipsyncError } from '../../../errors/index.ts';
import { createMessageReader, encodeHeader, payloadBytesOf, protocolFault, type Message } from './engine-protocol.ts';
import { ClientTrace } from './engine-trace.ts';
import type { ModelQueue } from './model-queue.ts';

export interface EngineServerOptions {
  readonly queue: ModelQueue;
  readonly deviceName: string;
  readonly socketPath: string;
  readonly batchSize: number;
  readonly heartbeatMs: number;
}

/** Batches per client that are read before earlier ones are answered; further ones stay in its socket. */
const maxBatchesAhead = 3;
const maxClients = 64;
const maxMessageCharacters = 1_000;

/**
 * Serves faces on a socket, to each client in the order of its batches. A client that violates the protocol receives a
 * failure and is disconnected; the failure of one client does not affect others.
 */
export async function openEngineServer(options: EngineServerOptions): Promise<void> {
  const server = createServer((socket) => serveClient(socket, options));
  server.maxConnections = maxClients;
  await listen(server, options.socketPath);
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(toLipsyncError(error)));
    server.listen(socketPath, resolve);
  });
}

function serveClient(socket: Socket, { queue, deviceName, batchSize, heartbeatMs }: EngineServerOptions): void {
  const trace = new ClientTrace(deviceName);
  let pendingBatches = 0;
  let largestBatch = batchSize;
  // Part of every answer, so that the client needs no separate message.
  let reducedTo = 0;
  const heartbeat = setInterval(() => {
    // A client that does not read gets no heartbeats either.
    if (pendingBatches > 0 && socket.writableLength === 0)
      socket.write(encodeHeader({ type: 'alive', count: 0, note: 0, payloadBytes: 0 }));
  }, heartbeatMs);

  const draw = async ({ header: { count, note: startRow }, payload }: Message): Promise<void> => {
    pendingBatches += 1;
    trace.addBatch(count);
    if (pendingBatches >= maxBatchesAhead) socket.pause();
    try {
      const drawn = await queue.draw({ count, payload, startRow, largestBatch, isNeeded: () => !socket.destroyed });
      if (drawn.reducedTo !== null) {
        // A batch that was already queued started with the previous size.
        largestBatch = Math.min(largestBatch, drawn.reducedTo);
        reducedTo = largestBatch;
      }
      const payloadBytes = payloadBytesOf('faces', count, queue.cropSizePx);
      await write(socket, encodeHeader({ type: 'faces', count, note: reducedTo, payloadBytes }), drawn.faces);
    } catch (error) {
      await writeFailure(socket, error);
    } finally {
      pendingBatches -= 1;
      socket.resume();
    }
  };
  const read = createMessageReader(queue.cropSizePx, (message) => {
    if (message.header.type === 'trace') return trace.start(Buffer.from(message.payload).toString());
    if (message.header.type !== 'batch' && message.header.type !== 'batch_with_references')
      throw protocolFault(`an engine does not accept messages of type ${message.header.type}`);
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
  // The client reports its own connection errors.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    clearInterval(heartbeat);
    trace.end();
  });
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

/** Resolves when the socket has accepted everything or has closed. */
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
