import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';

/** `legacy`: five pickles, then raw storages (torch before 1.6). `zip`: an archive of one pickle and one member per storage. */
export type CheckpointFormat = 'legacy' | 'zip';

const zipSignature = 0x04034b50;
const pickleProtocolOpcode = 0x80;

/** Tells the format by the first bytes. Throws `model_invalid` for anything else. */
export async function detectFormat(file: CheckpointFile): Promise<CheckpointFormat> {
  const head = Buffer.alloc(Math.min(file.sizeBytes, 24));
  await file.read(head, 0);
  if (head.length >= 4 && head.readUInt32LE(0) === zipSignature) return 'zip';
  if (head[0] === pickleProtocolOpcode) return 'legacy';
  throw invalidCheckpoint('a PyTorch checkpoint (zip archive or pickle)', describeHead(head));
}

function describeHead(head: Buffer): string {
  if (head.length === 0) return 'an empty file';
  const text = head.toString('latin1');
  // What a download leaves behind when a web page or a pointer to large storage was saved instead of the file.
  return /^[\t\n\r\x20-\x7e]+$/.test(text)
    ? `text that begins with ${quoted(text)}`
    : `bytes that begin with ${head.subarray(0, 8).toString('hex')}`;
}
