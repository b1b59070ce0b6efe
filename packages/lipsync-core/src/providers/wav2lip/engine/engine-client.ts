import { connect, type Socket } from 'node:net';
import { z } from 'zod';
import { abortError, errorCodes, LipsyncError, toLipsyncError } from '../../../errors/index.ts';
import { exhaustionAdvice } from '../../../errors/system-error.ts';
import { melChunkLength } from '../features/index.ts';
import type { EngineAddress } from './engine-address.ts';
import {
  createMessageReader,
  encodeHeader,
  faceBytes,
  isPossibleCount,
  payloadBytesOf,
  type Message,
} from './engine-protocol.ts';
import type { FaceBatch } from './face-model.ts';

export type { FaceBatch } from './face-model.ts';

/** A connection to an engine. Whoever connected closes it. */
export interface EngineClient {
  /**
   * Has `count` faces drawn: count × size × size × 3 bytes, BGR. Several batches may be under way; their arrays must not
   * be changed until they are answered, which happens in order. Throws what the engine throws (`resource_exhausted`,
   * `model_invalid`), `media_failed` when the engine is lost or silent, the signal's error, and `internal` for a batch
   * whose arrays do not have the sizes that its count asks for. What is the engine's fault has `details.engine`.
   */
  generate(batch: FaceBatch): Promise<Uint8Array>;
  /** The largest batch that the engine could run after a larger one had failed; null where none has. */
  readonly smallestBatch: number | null;
  /** Ends the connection; batches that are under way are answered with `canceled`. */
  close(): void;
}

export interface EngineClientOptions {
  readonly signal: AbortSignal;
  /** An engine that says nothing for so long while it has a batch of ours is taken to hang. */
  readonly silenceLimitMs?: number;
}

const defaultSilenceLimitMs = 60_000;
const failureSchema = z.object({ code: z.enum(errorCodes), message: z.string(), cause: z.string() });

/** Tells what an engine is to blame for from what else has the same code. */
const ofEngine = { engine: true };

interface AwaitedBatch {
  readonly count: number;
  resolve(faces: Uint8Array): void;
  reject(error: LipsyncError): void;
}

/** Connects to an engine. Throws `media_failed` when it cannot be reached, `resource_exhausted` when no file can be opened here, and the signal's error. */
export async function connectEngine(
  engine: EngineAddress,
  { signal, silenceLimitMs = defaultSilenceLimitMs }: EngineClientOptions,
): Promise<EngineClient> {
  if (signal.aborted) throw abortError(signal);
  const socket = connect(engine.socketPath);
  const answers = expectAnswers(socket, engine.cropSizePx);
  const onAbort = (): void => answers.end(abortError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', onAbort));
  socket.setTimeout(silenceLimitMs, () => {
    if (socket.connecting || answers.areAwaited) answers.end(lost(`it gave no sign for ${silenceLimitMs / 1000} s`));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('close', () => reject(answers.ended ?? lost('it cannot be reached')));
  });
  return {
    get smallestBatch() {
      return answers.smallestBatch;
    },
    async generate(batch) {
      checkSizes(batch, engine.cropSizePx);
      const answer = answers.next(batch.count);
      send(socket, batch, engine.cropSizePx);
      return answer;
    },
    close: () => answers.end(new LipsyncError('canceled', 'The connection to the engine was closed.')),
  };
}

interface Answers {
  readonly smallestBatch: number | null;
  readonly areAwaited: boolean;
  /** Why there will be no more answers. */
  readonly ended: LipsyncError | undefined;
  /** The answer to the batch that is sent next. */
  next(count: number): Promise<Uint8Array>;
  /** Closes the socket and answers everything that is awaited with `reason`. */
  end(reason: LipsyncError): void;
}

/** Takes what the engine says apart into answers, in the order of the questions. */
function expectAnswers(socket: Socket, cropSizePx: number): Answers {
  const awaited: AwaitedBatch[] = [];
  let smallestBatch: number | null = null;
  let ended: LipsyncError | undefined;

  const end = (reason: LipsyncError): void => {
    if (ended) return;
    ended = reason;
    socket.destroy();
    for (const { reject } of awaited.splice(0)) reject(reason);
  };
  const hear = ({ header, payload }: Message): void => {
    if (header.type === 'alive') return;
    if (header.type === 'failed') {
      const failure = failureOf(payload);
      // A failure that answers nothing is about the connection.
      return awaited.length > 0 ? awaited.shift()?.reject(failure) : end(failure);
    }
    if (header.type !== 'faces' || header.count !== awaited[0]?.count)
      return end(lost('its answer does not fit the question'));
    if (header.note > 0) smallestBatch = header.note;
    awaited.shift()?.resolve(payload);
  };
  const read = createMessageReader(cropSizePx, hear);
  socket.on('data', (piece) => {
    try {
      read(typeof piece === 'string' ? Buffer.from(piece) : piece);
    } catch (cause) {
      end(lost('it says what is not understood', cause));
    }
  });
  // What runs out on this side says nothing about the engine.
  socket.on('error', (cause) =>
    end(exhaustionAdvice(cause) === undefined ? lost('the connection broke', cause) : toLipsyncError(cause)),
  );
  socket.on('close', () => end(lost('the connection was closed')));

  return {
    get smallestBatch() {
      return smallestBatch;
    },
    get areAwaited() {
      return awaited.length > 0;
    },
    get ended() {
      return ended;
    },
    next: (count) =>
      ended ? Promise.reject(ended) : new Promise((resolve, reject) => void awaited.push({ count, resolve, reject })),
    end,
  };
}

function checkSizes({ count, mel, faces, references }: FaceBatch, cropSizePx: number): void {
  const bytes = count * faceBytes(cropSizePx);
  if (!isPossibleCount(count, cropSizePx))
    throw new LipsyncError('internal', `A batch of ${count} faces cannot be sent to the engine. Please report this.`);
  if (mel.length === count * melChunkLength && faces.length === bytes && references.length === bytes) return;
  throw new LipsyncError(
    'internal',
    'A batch for the engine does not have the size that its number of faces asks for. Please report this.',
  );
}

/** Nothing is copied here, and references that are the very frames are not sent again. */
function send(socket: Socket, { count, mel, faces, references }: FaceBatch, cropSizePx: number): void {
  if (socket.destroyed) return;
  const type = references === faces ? 'batch' : 'batch_with_references';
  socket.cork();
  socket.write(encodeHeader({ type, count, note: 0, payloadBytes: payloadBytesOf(type, count, cropSizePx) }));
  socket.write(new Uint8Array(mel.buffer, mel.byteOffset, mel.byteLength));
  socket.write(faces);
  if (references !== faces) socket.write(references);
  socket.uncork();
}

function failureOf(payload: Uint8Array): LipsyncError {
  try {
    const { code, message, cause } = failureSchema.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
    return new LipsyncError(code, message, { cause: new Error(cause), details: ofEngine });
  } catch (cause) {
    return lost('its failure cannot be read', cause);
  }
}

function lost(why: string, cause?: unknown): LipsyncError {
  return new LipsyncError('media_failed', `The engine that draws the faces was lost: ${why}. Try again.`, {
    cause,
    details: ofEngine,
  });
}
