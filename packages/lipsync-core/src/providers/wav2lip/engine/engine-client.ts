import { connect, type Socket } from 'node:net';
import { z } from 'zod';
import { abortError, errorCodes, LipsyncError, toLipsyncError, type ErrorCode } from '../../../errors/index.ts';
import { exhaustionAdvice } from '../../../errors/system-error.ts';
import { activeTraceparent } from '../../../tracing/spans.ts';
import { melChunkLength } from '../mel-chunks.ts';
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

export interface EngineClientOptions {
  readonly signal: AbortSignal;
  /** An engine that sends nothing for this long while a batch is pending counts as hung; one minute by default. */
  readonly silenceLimitMs?: number;
}

const defaultSilenceLimitMs = 60_000;
const failureSchema = z.object({ code: z.enum(errorCodes), message: z.string(), cause: z.string() });

/** Error codes of an engine that another device may avoid: it has other memory, arithmetic and drivers. */
const deviceFaultCodes: readonly ErrorCode[] = ['resource_exhausted', 'model_invalid', 'media_failed'];
/** Marks errors of the engine itself; `details` survive the way from the render process to its parent. */
const engineDetails = { engine: true };

/** Whether the engine failed for a reason that another device may avoid, unlike a full disk or a failure of ffmpeg. */
export function isDeviceFault({ code, details }: LipsyncError): boolean {
  return details['engine'] === engineDetails.engine && deviceFaultCodes.includes(code);
}

interface PendingBatch {
  readonly count: number;
  resolve(faces: Uint8Array): void;
  reject(error: LipsyncError): void;
}

/**
 * Connects to an engine. The caller closes the client. Throws `media_failed` when the engine cannot be reached,
 * `resource_exhausted` when no file can be opened here, and the abort error.
 */
export async function connectEngine(engine: EngineAddress, options: EngineClientOptions): Promise<EngineClient> {
  if (options.signal.aborted) throw abortError(options.signal);
  const socket = connect(engine.socketPath);
  const client = new EngineClient(socket, engine.cropSizePx, options);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('close', () => reject(client.ended ?? lost('it cannot be reached')));
  });
  client.sendTrace();
  return client;
}

/** A connection to an engine. Answers arrive in the order of the batches. */
export class EngineClient {
  readonly #socket: Socket;
  readonly #cropSizePx: number;
  readonly #pending: PendingBatch[] = [];
  #smallestBatch: number | null = null;
  #ended: LipsyncError | undefined;

  constructor(
    socket: Socket,
    cropSizePx: number,
    { signal, silenceLimitMs = defaultSilenceLimitMs }: EngineClientOptions,
  ) {
    this.#socket = socket;
    this.#cropSizePx = cropSizePx;
    const onAbort = (): void => this.#end(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    const read = createMessageReader(cropSizePx, (message) => this.#onMessage(message));
    socket.on('data', (piece) => {
      try {
        read(typeof piece === 'string' ? Buffer.from(piece) : piece);
      } catch (cause) {
        this.#end(lost('it violated the protocol', cause));
      }
    });
    // A shortage on this side is not a fault of the engine.
    socket.on('error', (cause) =>
      this.#end(exhaustionAdvice(cause) === undefined ? lost('the connection broke', cause) : toLipsyncError(cause)),
    );
    socket.on('close', () => {
      signal.removeEventListener('abort', onAbort);
      this.#end(lost('the connection was closed'));
    });
    socket.setTimeout(silenceLimitMs, () => {
      if (socket.connecting || this.#pending.length > 0)
        this.#end(lost(`it sent nothing for ${silenceLimitMs / 1000} s`));
    });
  }

  /** The batch size that the engine reduced to after larger batches failed; null if none failed. */
  get smallestBatch(): number | null {
    return this.#smallestBatch;
  }

  /** Why the connection ended; undefined while it is open. */
  get ended(): LipsyncError | undefined {
    return this.#ended;
  }

  /**
   * Draws `count` faces and returns count × size × size × 3 bytes, BGR, with any values above `startRow`. Several batches may be pending; their arrays
   * must not change until they are answered. Throws the error of the engine (`resource_exhausted`, `model_invalid`),
   * `media_failed` when the engine is lost or silent, the abort error, and `internal` for arrays of the wrong size.
   * `isDeviceFault` identifies errors of the engine itself.
   */
  async generate(batch: FaceBatch): Promise<Uint8Array> {
    checkSizes(batch, this.#cropSizePx);
    if (this.#ended) throw this.#ended;
    return new Promise((resolve, reject) => {
      this.#pending.push({ count: batch.count, resolve, reject });
      this.#send(batch);
    });
  }

  /** Makes the work of the engine for this client part of the active trace. */
  sendTrace(): void {
    const payload = Buffer.from(activeTraceparent() ?? '');
    if (payload.length === 0) return;
    this.#socket.write(encodeHeader({ type: 'trace', count: 0, note: 0, payloadBytes: payload.length }));
    this.#socket.write(payload);
  }

  /** Closes the connection; pending batches reject with `canceled`. */
  close(): void {
    this.#end(new LipsyncError('canceled', 'The connection to the inference engine was closed.'));
  }

  #end(reason: LipsyncError): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#socket.destroy();
    for (const { reject } of this.#pending.splice(0)) reject(reason);
  }

  #onMessage({ header, payload }: Message): void {
    if (header.type === 'alive') return;
    if (header.type === 'failed') {
      const failure = parseFailure(payload);
      // Without a pending batch the failure concerns the connection.
      return this.#pending.length > 0 ? this.#pending.shift()?.reject(failure) : this.#end(failure);
    }
    if (header.type !== 'faces' || header.count !== this.#pending[0]?.count)
      return this.#end(lost('its answer does not match the batch'));
    if (header.note > 0) this.#smallestBatch = header.note;
    this.#pending.shift()?.resolve(payload);
  }

  /** Copies nothing, and omits references that are identical to the faces. */
  #send({ count, mel, faces, references, startRow = 0 }: FaceBatch): void {
    const socket = this.#socket;
    const type = references === faces ? 'batch' : 'batch_with_references';
    socket.cork();
    const payloadBytes = payloadBytesOf(type, count, this.#cropSizePx);
    socket.write(encodeHeader({ type, count, note: startRow, payloadBytes }));
    socket.write(new Uint8Array(mel.buffer, mel.byteOffset, mel.byteLength));
    socket.write(faces);
    if (references !== faces) socket.write(references);
    socket.uncork();
  }
}

function checkSizes({ count, mel, faces, references }: FaceBatch, cropSizePx: number): void {
  const bytes = count * faceBytes(cropSizePx);
  if (!isPossibleCount(count, cropSizePx))
    throw new LipsyncError(
      'internal',
      `A batch of ${count} faces exceeds the protocol of the engine. Please report this.`,
    );
  if (mel.length === count * melChunkLength && faces.length === bytes && references.length === bytes) return;
  throw new LipsyncError(
    'internal',
    `The arrays of a batch do not have the sizes that ${count} faces require. Please report this.`,
  );
}

function parseFailure(payload: Uint8Array): LipsyncError {
  try {
    const { code, message, cause } = failureSchema.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
    return new LipsyncError(code, message, { cause: new Error(cause), details: engineDetails });
  } catch (cause) {
    return lost('its failure message cannot be parsed', cause);
  }
}

function lost(why: string, cause?: unknown): LipsyncError {
  return new LipsyncError('media_failed', `The inference engine was lost: ${why}. Try again.`, {
    cause,
    details: engineDetails,
  });
}
