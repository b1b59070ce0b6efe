import { LipsyncError } from '../errors/index.ts';
import { listBoxesIn, type Mp4Box } from './mp4-boxes.ts';

/** Boxes between `moov` or `moof` and the tables with positions in the file. */
const containers: ReadonlySet<string> = new Set(['trak', 'mdia', 'minf', 'stbl', 'traf']);

const maxOffset = 0xffff_ffff;
const baseDataOffsetFlag = 0x00_0001;

/** Returns where a position of the source is in the target. */
export type ShiftPosition = (position: number) => number;

/**
 * Applies `shift` to every position in the file that a `moov`, `moof` or `mfra` box contains. Changes `box` in place.
 * Throws `media_failed` if a position no longer fits its field.
 */
export function shiftFilePositions(box: Buffer, shift: ShiftPosition): void {
  const [outer] = listBoxesIn(box, 0, box.length);
  if (outer) shiftIn(box, outer, shift);
}

function shiftIn(bytes: Buffer, outer: Mp4Box, shift: ShiftPosition): void {
  for (const box of listBoxesIn(bytes, outer.start + outer.headerBytes, outer.start + outer.sizeBytes)) {
    const content = bytes.subarray(box.start + box.headerBytes, box.start + box.sizeBytes);
    if (containers.has(box.type)) shiftIn(bytes, box, shift);
    else if (box.type === 'stco') shiftTable(content, 4, shift);
    else if (box.type === 'co64') shiftTable(content, 8, shift);
    else if (box.type === 'tfhd') shiftBaseOffset(content, shift);
    else if (box.type === 'tfra') shiftFragmentIndex(content, shift);
  }
}

/** Version and flags, number of entries, entries. */
function shiftTable(content: Buffer, entryBytes: 4 | 8, shift: ShiftPosition): void {
  const count = content.readUInt32BE(4);
  if (8 + count * entryBytes > content.length) throw damaged();
  for (let index = 0; index < count; index += 1) shiftNumber(content, 8 + index * entryBytes, entryBytes, shift);
}

/** Version and flags, track, and the position that the samples of the fragment are relative to, if it is stated. */
function shiftBaseOffset(content: Buffer, shift: ShiftPosition): void {
  if ((content.readUInt32BE(0) & baseDataOffsetFlag) !== 0) shiftNumber(content, 8, 8, shift);
}

/** Version and flags, track, lengths of three numbers, entry count; each entry is a time, a position, three numbers. */
function shiftFragmentIndex(content: Buffer, shift: ShiftPosition): void {
  const fieldBytes = content[0] === 1 ? 8 : 4;
  const lengths = content.readUInt32BE(8);
  const numberBytes = [4, 2, 0].reduce((sum, bit) => sum + ((lengths >> bit) & 3) + 1, 0);
  const entryBytes = fieldBytes * 2 + numberBytes;
  const count = content.readUInt32BE(12);
  if (16 + count * entryBytes > content.length) throw damaged();
  for (let index = 0; index < count; index += 1)
    shiftNumber(content, 16 + index * entryBytes + fieldBytes, fieldBytes, shift);
}

function shiftNumber(bytes: Buffer, at: number, sizeBytes: 4 | 8, shift: ShiftPosition): void {
  if (sizeBytes === 8) {
    bytes.writeBigUInt64BE(BigInt(shift(Number(bytes.readBigUInt64BE(at)))), at);
    return;
  }
  const shifted = shift(bytes.readUInt32BE(at));
  if (shifted > maxOffset)
    throw new LipsyncError('media_failed', 'The video is too large for its 32-bit index, so that it cannot be marked.');
  bytes.writeUInt32BE(shifted, at);
}

function damaged(): LipsyncError {
  return new LipsyncError('media_failed', 'The index of the video is damaged, so that it cannot be marked.');
}
