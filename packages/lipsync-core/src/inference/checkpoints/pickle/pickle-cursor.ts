/** The bytes end before the pickle does: the caller may have more of them. Never leaves this folder. */
export class EndOfPickle extends Error {}

/** Reads the operands of opcodes one after another. Every method throws `EndOfPickle` where bytes are missing. */
export class PickleCursor {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  /** Big-endian, the one number in a pickle that is. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** The bytes up to the next line feed, which is skipped; undefined when there are more than `longest` before it. */
  line(longest: number): Uint8Array | undefined {
    const start = this.position;
    const end = this.#bytes.indexOf(0x0a, start);
    if (end - start > longest || (end === -1 && this.#bytes.length - start > longest)) return undefined;
    if (end === -1) throw new EndOfPickle();
    this.position = end + 1;
    return this.#bytes.subarray(start, end);
  }

  #advance(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.length) throw new EndOfPickle();
    this.position = start + length;
    return start;
  }
}
