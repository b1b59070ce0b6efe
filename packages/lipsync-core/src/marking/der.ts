/** An element of DER (ITU-T X.690): a tag, a length and content. */
export interface DerElement {
  readonly tag: number;
  /** With tag and length. */
  readonly bytes: Buffer;
  readonly content: Buffer;
}

/** Tags of the elements that time stamps consist of. */
export const derTags = Object.freeze({
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  identifier: 0x06,
  sequence: 0x30,
  explicit0: 0xa0,
});

/** Encodes an element of less than 128 bytes. */
export function derOf(tag: number, ...content: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(content);
  if (bytes.length > 127) throw new Error('The element is too long.');
  return Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
}

/** Lists the elements that fill `bytes`. Throws a `RangeError` for anything else. */
export function listDer(bytes: Buffer): readonly DerElement[] {
  const elements: DerElement[] = [];
  for (let position = 0; position < bytes.length;) {
    const element = readElement(bytes, position);
    elements.push(element);
    position += element.bytes.length;
  }
  return elements;
}

function readElement(bytes: Buffer, start: number): DerElement {
  const tag = bytes.readUInt8(start);
  const first = bytes.readUInt8(start + 1);
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  // Length 0x80 ends with a marker, which DER does not allow.
  if (first === 0x80 || lengthBytes > 4) throw new RangeError('The length of an element is invalid.');
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(start + 2, lengthBytes);
  const contentStart = start + 2 + lengthBytes;
  const end = contentStart + length;
  if (end > bytes.length) throw new RangeError('An element is longer than its content.');
  return { tag, bytes: bytes.subarray(start, end), content: bytes.subarray(contentStart, end) };
}
