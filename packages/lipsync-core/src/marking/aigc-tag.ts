import { boxOf, listBoxesIn, type Mp4Box } from './mp4-boxes.ts';

/** What the implicit label of GB 45438-2025 states about an output. */
export interface AigcLabel {
  /** Name or code of the service that made the output. */
  readonly producer: string;
  /** Id of the output at that service. */
  readonly produceId: string;
}

const key = 'AIGC';
/** The content is made by a model; 2 and 3 stand for a possibility and a suspicion. */
const certain = '1';

/**
 * Returns a `moov` box with the label as metadata: `udta`, `meta` with the handler `mdta`, and the key `AIGC`, as ffmpeg
 * writes a key of any name. Another `meta` box of `udta` is replaced. Pure. Throws `media_failed` for a damaged box.
 */
export function withAigcTag(moov: Buffer, label: AigcLabel): Buffer {
  const [outer] = listBoxesIn(moov, 0, moov.length);
  const children = outer ? childrenOf(moov, outer) : [];
  const userData = children.filter(({ type }) => type === 'udta');
  const kept = userData.flatMap((box) => childrenOf(moov, box)).filter(({ type }) => type !== 'meta');
  const bytesOf = ({ start, sizeBytes }: Mp4Box): Buffer => moov.subarray(start, start + sizeBytes);
  const others = children.filter((box) => !userData.includes(box));
  return boxOf('moov', ...others.map(bytesOf), boxOf('udta', ...kept.map(bytesOf), metadataBox(valueOf(label))));
}

function childrenOf(bytes: Buffer, { type, start, headerBytes, sizeBytes }: Mp4Box): readonly Mp4Box[] {
  const end = start + sizeBytes;
  // QuickTime ends user data with four zeros.
  const hasEnd = type === 'udta' && sizeBytes >= headerBytes + 4 && bytes.readUInt32BE(end - 4) === 0;
  return listBoxesIn(bytes, start + headerBytes, hasEnd ? end - 4 : end);
}

/** The platform that publishes the output fills in the fields of the propagator. */
function valueOf({ producer, produceId }: AigcLabel): Buffer {
  return Buffer.from(
    JSON.stringify({
      Label: certain,
      ContentProducer: producer,
      ProduceID: produceId,
      ReservedCode1: '',
      ContentPropagator: '',
      PropagateID: '',
      ReservedCode2: '',
    }),
  );
}

function metadataBox(value: Buffer): Buffer {
  const zeros = (count: number): Buffer => Buffer.alloc(count);
  const numbers = (...values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    for (const [index, number] of values.entries()) bytes.writeUInt32BE(number, index * 4);
    return bytes;
  };
  const handler = boxOf('hdlr', zeros(8), Buffer.from('mdta'), zeros(13));
  const keys = boxOf('keys', numbers(0, 1), boxOf('mdta', Buffer.from(key)));
  const utf8 = 1;
  const item = boxOf('data', numbers(utf8, 0), value);
  // The type of an item is the index of its key.
  const items = boxOf('ilst', boxOf('\0\0\0\x01', item));
  return boxOf('meta', zeros(4), handler, keys, items);
}
