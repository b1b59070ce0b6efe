import { readFile, writeFile } from 'node:fs/promises';

/** A part of a track that is played, in seconds; without a start it is a pause. */
export interface Edit {
  readonly startS?: number;
  readonly durationS: number;
}

const containers = new Set(['moov', 'trak', 'edts', 'mdia']);

/** Replaces the edit list of every track of an MP4 or MOV file that has one and has its index at the end. */
export async function writeEditLists(path: string, edits: readonly Edit[]): Promise<string> {
  const file = await readFile(path);
  const total = edits.reduce((sum, { durationS }) => sum + durationS, 0);
  const scales = { movie: 0, media: [] as number[] };
  const start = file.indexOf('moov') - 4;
  const moov = file.subarray(start);
  visit(moov, (type, body) => {
    if (type === 'mvhd') scales.movie = body.readUInt32BE(12);
    if (type === 'mdhd') scales.media.push(body.readUInt32BE(12));
    return body;
  });
  let track = -1;
  const edited = visit(moov, (type, body) => {
    if (type === 'mvhd') body.writeUInt32BE(Math.round(total * scales.movie), 16);
    if (type === 'tkhd') {
      track += 1;
      body.writeUInt32BE(Math.round(total * scales.movie), 20);
    }
    return type === 'elst' ? editList(body, edits, { movie: scales.movie, media: scales.media[track] ?? 1 }) : body;
  });
  await writeFile(path, Buffer.concat([file.subarray(0, start), edited]));
  return path;
}

function editList(
  before: Buffer,
  edits: readonly Edit[],
  scales: { readonly movie: number; readonly media: number },
): Buffer {
  const offset = Math.max(0, before.readInt32BE(12));
  const list = Buffer.alloc(8 + 12 * edits.length);
  list.writeUInt32BE(edits.length, 4);
  for (const [index, { startS, durationS }] of edits.entries()) {
    list.writeUInt32BE(Math.round(durationS * scales.movie), 8 + 12 * index);
    list.writeInt32BE(startS === undefined ? -1 : offset + Math.round(startS * scales.media), 12 + 12 * index);
    list.writeUInt32BE(0x0001_0000, 16 + 12 * index);
  }
  return list;
}

function visit(bytes: Buffer, change: (type: string, body: Buffer) => Buffer): Buffer {
  const boxes: Buffer[] = [];
  for (let position = 0; position + 8 <= bytes.length;) {
    const size = bytes.readUInt32BE(position);
    const type = bytes.toString('latin1', position + 4, position + 8);
    const body = bytes.subarray(position + 8, position + size);
    const changed = change(type, containers.has(type) ? visit(body, change) : Buffer.from(body));
    const header = Buffer.from(bytes.subarray(position, position + 8));
    header.writeUInt32BE(changed.length + 8);
    boxes.push(header, changed);
    position += size;
  }
  return Buffer.concat(boxes);
}
