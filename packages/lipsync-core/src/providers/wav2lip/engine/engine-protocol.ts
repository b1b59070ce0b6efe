/**
 * What crosses an engine's socket: messages of a fixed header and a payload of the length that the header says. Sound is
 * 32-bit floats in the order of the machine, which both ends share. Both ends are ours; a limit on every length keeps a
 * fault of one from filling the other's memory.
 */
import { LipsyncError } from '../../../errors/index.ts';
import { melChunkLength } from '../features/index.ts';

/** Faces in one message, at most. */
const maxFaces = 1024;
const maxPayloadBytes = 256 * 1024 ** 2;
const maxFailureBytes = 16 * 1024;

const headerBytes = 16;
const magic = 0x3145_534c;
const types = ['batch', 'batch_with_references', 'faces', 'failed', 'alive'] as const;

export interface MessageHeader {
  /**
   * To the engine: `batch`, whose payload is mel chunks, then faces; `batch_with_references`, the same and then the
   * references. From the engine: `faces`, drawn; `failed`, code and message as JSON; `alive`, while a batch is waited for.
   */
  readonly type: (typeof types)[number];
  /** Faces in the payload. */
  readonly count: number;
  /** Of `faces`: the largest batch that was run after one had failed; 0 where none has. */
  readonly note: number;
  readonly payloadBytes: number;
}

export interface Message {
  readonly header: MessageHeader;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Bytes of one face, three channels interleaved. */
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

/** Throws `media_failed` unless the bytes are a header whose payload has just the length that its type and count ask for. */
function decodeHeader(bytes: Uint8Array, cropSizePx: number): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const type = types[view.getUint8(4)];
  const count = view.getUint16(6, true);
  const payloadBytes = view.getUint32(12, true);
  if (view.getUint32(0, true) !== magic || type === undefined) throw protocolFault('not a message of an engine');
  if (!isPossible(type, count, payloadBytes, cropSizePx))
    throw protocolFault(`${payloadBytes} bytes for ${count} faces in a message of type ${type}`);
  return { type, count, note: view.getUint32(8, true), payloadBytes };
}

/** Bytes of the payload of a message that carries `count` faces. */
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
  if (type === 'failed') return count === 0 && payloadBytes <= maxFailureBytes;
  return isPossibleCount(count, cropSizePx) && payloadBytes === payloadBytesOf(type, count, cropSizePx);
}

/** The most faces that may be sent in one batch. */
export function mostFacesPerMessage(cropSizePx: number): number {
  return Math.min(maxFaces, Math.floor(maxPayloadBytes / payloadBytesOf('batch_with_references', 1, cropSizePx)));
}

/** Whether a batch of so many faces may be sent. */
export function isPossibleCount(count: number, cropSizePx: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= mostFacesPerMessage(cropSizePx);
}

/**
 * Puts messages together from the pieces in which they arrive. Feed it every piece in order; it calls `onMessage` for
 * each message that is whole. Throws `media_failed` for what is no possible message; nothing
 * may be fed to it afterwards.
 */
export function createMessageReader(
  cropSizePx: number,
  onMessage: (message: Message) => void,
): (piece: Uint8Array) => void {
  const headerRead = new Uint8Array(headerBytes);
  let header: MessageHeader | undefined;
  let target: Uint8Array<ArrayBuffer> = headerRead;
  let filled = 0;

  /** Takes what is whole by now; a message without payload is whole with its header. */
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

/** Why a connection cannot go on. */
export function protocolFault(what: string): LipsyncError {
  return new LipsyncError('media_failed', 'The engine and its client do not understand each other. Try again.', {
    cause: new Error(what),
  });
}
