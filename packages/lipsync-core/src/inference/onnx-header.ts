import type { FileHandle } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { openRegularFile } from '../storage/regular-file.ts';

/** Fields of ModelProto in onnx.proto. */
const irVersionField = 1;
const graphField = 7;
/** A model has about ten top-level fields; more are not a model. */
const maxFields = 1_000;
/** Bytes of a tag and a length, each up to ten. */
const headerBytes = 20;

/**
 * Reads the top level of an ONNX file without loading it, and returns what is wrong with it: not a model, or cut off. Null
 * for a file that may be a model. Throws `model_missing` when it cannot be read.
 */
export async function findOnnxFault(path: string): Promise<string | null> {
  const { handle, stats } = await openRegularFile(
    path,
    (reason, cause) => new LipsyncError('model_missing', `The model file ${reason}.`, { cause }),
  );
  try {
    return await findFault(handle, stats.size);
  } finally {
    await handle.close();
  }
}

async function findFault(handle: FileHandle, sizeBytes: number): Promise<string | null> {
  if (sizeBytes === 0) return 'it is empty';
  const found = new Set<number>();
  let position = 0;
  for (let fields = 0; position < sizeBytes && fields < maxFields; fields += 1) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerBytes), 0, headerBytes, position);
    const field = readField(buffer.subarray(0, bytesRead));
    if (field === null) return 'it is not an ONNX model';
    found.add(field.number);
    position += field.bytes;
  }
  if (!found.has(irVersionField)) return 'it is not an ONNX model';
  if (position > sizeBytes) return `it is cut off: ${sizeBytes} of ${position} bytes`;
  return found.has(graphField) && position === sizeBytes ? null : 'it is not an ONNX model';
}

/** Number and total size of the field that starts here; null for bytes that ModelProto does not allow. */
function readField(bytes: Buffer): { readonly number: number; readonly bytes: number } | null {
  const tag = readVarint(bytes, 0);
  if (tag === null || tag.value < 8) return null;
  const value = readVarint(bytes, tag.end);
  if (value === null) return null;
  const number = Math.floor(tag.value / 8);
  switch (tag.value % 8) {
    case 0:
      return { number, bytes: value.end };
    case 2:
      return { number, bytes: value.end + value.value };
    default:
      return null;
  }
}

function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly end: number } | null {
  let value = 0;
  for (let index = start; index < bytes.length && index < start + 8; index += 1) {
    const byte = bytes[index] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * (index - start));
    if (byte < 0x80) return { value, end: index + 1 };
  }
  return null;
}
