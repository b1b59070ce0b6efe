import type { FileHandle } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';

/** A box of an ISO base media file (ISO/IEC 14496-12). */
export interface Mp4Box {
  readonly type: string;
  /** Position of its header. */
  readonly start: number;
  /** Size with the header. */
  readonly sizeBytes: number;
  readonly headerBytes: number;
}

/** The user type of the box that holds C2PA manifests (C2PA 2.2, appendix A.5). */
export const manifestUserType = Buffer.from('d8fec3d61b0e483c92975828877ec481', 'hex');

/** More than a recording of hours in fragments has. */
const maxBoxes = 20_000;

/** Yields the top-level boxes of a file. Throws `media_failed` after the last one unless they fill the file. */
export async function* readTopLevelBoxes(file: FileHandle): AsyncGenerator<Mp4Box> {
  const { size } = await file.stat();
  const header = Buffer.alloc(16);
  let count = 0;
  for (let position = 0; position < size;) {
    const { bytesRead } = await file.read(header, 0, 16, position);
    const box = readBoxHeader(header.subarray(0, bytesRead), position, size);
    if (!box || count >= maxBoxes) throw notMp4();
    count += 1;
    position += box.sizeBytes;
    yield box;
  }
}

/** Lists the boxes between two positions of a buffer. Throws `media_failed` unless they fill it. */
export function listBoxesIn(bytes: Buffer, start: number, end: number): readonly Mp4Box[] {
  const boxes: Mp4Box[] = [];
  for (let position = start; position < end;) {
    const box = readBoxHeader(bytes.subarray(position, Math.min(position + 16, end)), position, end);
    if (!box || boxes.length >= maxBoxes) throw notMp4();
    boxes.push(box);
    position += box.sizeBytes;
  }
  return boxes;
}

/** Whether a file has so many boxes that the library, which visits each several times, needs minutes for it. */
export async function hasTooManyBoxes(file: FileHandle): Promise<boolean> {
  let count = 0;
  try {
    for await (const _ of readTopLevelBoxes(file)) count += 1;
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
  }
  return count >= maxBoxes;
}

/** Whether a box holds C2PA manifests. */
export function isManifestBox(file: FileHandle, box: Mp4Box): Promise<boolean> {
  return hasUserType(file, box, manifestUserType);
}

/** Whether a box is one of the user type, which has 16 bytes. */
export async function hasUserType(
  file: FileHandle,
  { type, start, headerBytes }: Mp4Box,
  userType: Buffer,
): Promise<boolean> {
  if (type !== 'uuid') return false;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, start + headerBytes);
  return bytesRead === 16 && buffer.equals(userType);
}

/** Returns a box of less than 4 GiB with this content. Pure. */
export function boxOf(type: string, ...content: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(
    content.reduce((sum, { length }) => sum + length, header.length),
    0,
  );
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, ...content]);
}

function readBoxHeader(header: Buffer, start: number, end: number): Mp4Box | undefined {
  if (header.length < 8) return undefined;
  const type = header.toString('latin1', 4, 8);
  const stated = header.readUInt32BE(0);
  if (stated === 1 && header.length < 16) return undefined;
  const headerBytes = stated === 1 ? 16 : 8;
  // Size 0 reaches to the end.
  const sizeBytes = stated === 0 ? end - start : stated === 1 ? Number(header.readBigUInt64BE(8)) : stated;
  return sizeBytes < headerBytes || start + sizeBytes > end ? undefined : { type, start, sizeBytes, headerBytes };
}

function notMp4(): LipsyncError {
  return new LipsyncError('media_failed', 'The video is not a complete MP4 file, so that it cannot be marked.');
}
