/**
 * The wire format of an engine's socket: messages with a fixed header and a payload of the stated length. Mel values
 * are 32-bit floats in machine byte order, as both ends run on the same machine. A limit on every length prevents a
 * fault of one end from filling the memory of the other.
 */
import { LipsyncError } from '../../../errors/index.ts';
import { melChunkLength } from '../mel-chunks.ts';

const maxFaces = 1024;
const maxPayloadBytes = 256 * 1024 ** 2;
const maxFailureBytes = 16 * 1024;
const maxTraceBytes = 64;

const headerBytes = 16;
const magic = 0x3145_534c;
const types = ['batch', 'batch_with_references', 'faces', 'failed', 'alive', 'trace'] as const;

export interface MessageHeader {
  /**
   * To the engine: `trace`, the traceparent of the client, at most once and first; `batch` with mel chunks, then faces;
   * `batch_with_references`, followed by the references. From the
   * engine: `faces`, drawn; `failed`, code and message as JSON; `alive`, a heartbeat while a batch is pending.
   */
  readonly type: (typeof types)[number];
  /** Faces in the payload. */
  readonly count: number;
  /**
   * In `faces`: the batch size to which the engine was reduced after a failure; 0 if none failed. In batches: the first
   * row that is needed.
   */
  readonly note: number;
  readonly payloadBytes: number;
}

export interface Message {
  readonly header: MessageHeader;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Bytes of one face: three interleaved channels. */
export function faceBytes(cropSizePx: number): number {
  return cropSizePx * cropSizePx * 3;
}

export function encodeHeader({ type, count, note, payloadBytes }: MessageHeader): Uint8Array {
  const view = new DataView(new ArrayBuffer(headerBytes));
  view.setUint32(0, magic, true);
  view.setUint8(4, types.indexOf(type));
  view.setUint16(6, count, true);
  view.setUint32(8, note, true);
  view.setUint32(12, payloadBytes, true);
  return new Uint8Array(view.buffer);
}

/** Throws `media_failed` unless the bytes are a header whose payload length matches its type and count. */
function decodeHeader(bytes: Uint8Array, cropSizePx: number): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const type = types[view.getUint8(4)];
  const count = view.getUint16(6, true);
  const note = view.getUint32(8, true);
  const payloadBytes = view.getUint32(12, true);
  if (view.getUint32(0, true) !== magic || type === undefined)
    throw protocolFault('the header is not one of an engine message');
  if (!isPossible(type, count, payloadBytes, cropSizePx))
    throw protocolFault(`a ${type} message with ${count} faces has ${payloadBytes} bytes`);
  if ((type === 'batch' || type === 'batch_with_references') && note >= cropSizePx)
    throw protocolFault(`a ${type} message starts at row ${note} of ${cropSizePx}`);
  return { type, count, note, payloadBytes };
}

/** Payload bytes of a message with `count` faces. */
export function payloadBytesOf(
  type: 'batch' | 'batch_with_references' | 'faces',
  count: number,
  cropSizePx: number,
): number {
  const pictures = count * faceBytes(cropSizePx);
  if (type === 'faces') return pictures;
  const sound = count * melChunkLength * Float32Array.BYTES_PER_ELEMENT;
  return sound + pictures * (type === 'batch_with_references' ? 2 : 1);
}

function isPossible(type: MessageHeader['type'], count: number, payloadBytes: number, cropSizePx: number): boolean {
  if (type === 'alive') return count === 0 && payloadBytes === 0;
  if (type === 'trace') return count === 0 && payloadBytes <= maxTraceBytes;
  if (type === 'failed') return count === 0 && payloadBytes <= maxFailureBytes;
  return isPossibleCount(count, cropSizePx) && payloadBytes === payloadBytesOf(type, count, cropSizePx);
}

/** Largest number of faces in one batch. */
export function getMaxFaces(cropSizePx: number): number {
  return Math.min(maxFaces, Math.floor(maxPayloadBytes / payloadBytesOf('batch_with_references', 1, cropSizePx)));
}

/** Whether a batch of `count` faces can be sent. */
export function isPossibleCount(count: number, cropSizePx: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= getMaxFaces(cropSizePx);
}

/**
 * Returns a function that assembles messages from the pieces in which they arrive, in order, and calls `onMessage` for
 * each complete one. It throws `media_failed` for an invalid header and must not be called afterwards.
 */
export function createMessageReader(
  cropSizePx: number,
  onMessage: (message: Message) => void,
): (piece: Uint8Array) => void {
  const headerRead = new Uint8Array(headerBytes);
  let header: MessageHeader | undefined;
  let target: Uint8Array<ArrayBuffer> = headerRead;
  let filled = 0;

  /** Consumes what is complete; a message without payload is complete with its header. */
  const advance = (): void => {
    while (filled === target.length) {
      filled = 0;
      if (header === undefined) {
        header = decodeHeader(headerRead, cropSizePx);
        target = new Uint8Array(header.payloadBytes);
      } else {
        const message = { header, payload: target };
        header = undefined;
        target = headerRead;
        onMessage(message);
      }
    }
  };

  return (piece) => {
    for (let from = 0; from < piece.length;) {
      const taken = piece.subarray(from, from + target.length - filled);
      target.set(taken, filled);
      filled += taken.length;
      from += taken.length;
      advance();
    }
  };
}

/** The error that ends a connection whose peer violated the protocol; `what` is for the log. */
export function protocolFault(what: string): LipsyncError {
  return new LipsyncError(
    'media_failed',
    'The inference engine and its client use different protocols. Restart the service and try again.',
    {
      cause: new Error(what),
    },
  );
}
