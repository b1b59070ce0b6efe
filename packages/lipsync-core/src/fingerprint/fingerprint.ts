import { LipsyncError } from '../errors/index.ts';
import { planesOf, type Picture } from '../image/planes.ts';
import { mouthAreaOf, mouthCells, mouthCellsOf } from './mouth-patch.ts';
import {
  hashPicture,
  meansOf,
  thumbnailSide,
  wholePicture,
  type PictureHash,
  type RelativeArea,
} from './picture-hash.ts';
import { countDifferingBits, fineStepsPerHash, SoundHasher, type SoundHashes } from './sound-hash.ts';

/** What is stored of an output, so that a copy of it is found again. Plain data. */
export interface Fingerprint {
  /** By these, candidates are found among all outputs. */
  readonly key: FingerprintKey;
  /** By this, a candidate is compared; `packFingerprint` made it. */
  readonly packed: string;
}

/** Base64 of little-endian 32-bit words. */
export interface FingerprintKey {
  /** The most certain hashes of the sound, up to two per second. */
  readonly sound: string;
  /** Two words per stored picture. */
  readonly pictures: string;
}

/** The region of the mouth at a time, and the mean luma of its cells. */
export interface MouthSample {
  readonly timeMs: number;
  readonly area: RelativeArea;
  readonly cells: Float32Array;
}

/** A fingerprint as it is compared. */
export interface UnpackedFingerprint {
  /** Hashes in steps of 96 ms; 0 in pauses. */
  readonly sound: Uint32Array;
  /** Pictures of `thumbnailSide` rows and columns. */
  readonly thumbnails: readonly Float32Array[];
  readonly mouths: readonly MouthSample[];
}

/** What of a long output counts: its sound, and its mouth, which is sampled densely, then sparsely, then not at all. */
const soundLimitMs = 20 * 60_000;
const mouthLimitMs = 120_000;
const denseUntilMs = 15_000;
const denseIntervalMs = 200;
const sparseIntervalMs = 1_000;
const maxPictures = 3;
/** Pictures whose hashes differ in fewer bits are the same. */
const newPictureBits = 12;

const keyBlockSteps = 42;
const keysPerBlock = 8;
const maxSoundKeys = 256;

/** Builds the fingerprint of an output from its decoded frames and its sound, with bounded memory. */
export class FingerprintBuilder {
  readonly #hasher = new SoundHasher({ fine: false, maxMs: soundLimitMs });
  readonly #pictures: { readonly hash: PictureHash; readonly thumbnail: Float32Array }[] = [];
  readonly #mouths: MouthSample[] = [];
  #nextMs = 0;

  /** Adds mono samples at 16 kHz, on the time axis of the picture. */
  addSound(chunk: Float32Array): void {
    this.#hasher.add(chunk);
  }

  /**
   * Adds a frame with the landmarks of its face, ascending by time. Most frames are skipped. Without landmarks, only the
   * picture counts.
   */
  addFrame(timeMs: number, picture: Picture, points: Float32Array | undefined): void {
    if (timeMs < this.#nextMs) return;
    this.#nextMs = timeMs + (timeMs < denseUntilMs ? denseIntervalMs : sparseIntervalMs) - 1;
    const { luma } = planesOf(picture);
    const hash = this.#pictures.length < maxPictures ? hashPicture(luma, wholePicture) : undefined;
    if (hash && this.#pictures.every((known) => countPictureBits(known.hash, hash) >= newPictureBits))
      this.#pictures.push({ hash, thumbnail: meansOf(luma, wholePicture, thumbnailSide, thumbnailSide) });
    const area = points && timeMs < mouthLimitMs ? mouthAreaOf(points, luma) : undefined;
    const cells = area && mouthCellsOf(luma, area, wholePicture);
    if (area && cells?.every((value) => !Number.isNaN(value))) this.#mouths.push({ timeMs, area, cells });
  }

  finish(): Fingerprint {
    const sound = this.#hasher.finish();
    return {
      key: {
        sound: encodeWords(chooseSoundKeys(sound)),
        pictures: encodeWords(this.#pictures.flatMap(({ hash }) => hash)),
      },
      packed: packFingerprint({
        sound: sound.hashes,
        thumbnails: this.#pictures.map(({ thumbnail }) => thumbnail),
        mouths: this.#mouths,
      }),
    };
  }
}

function countPictureBits(one: PictureHash, other: PictureHash): number {
  return countDifferingBits(one[0], other[0]) + countDifferingBits(one[1], other[1]);
}

/** The most certain hashes of every four seconds, or of longer blocks in a long sound. */
function chooseSoundKeys({ hashes, certainty }: SoundHashes): readonly number[] {
  const blockSteps = Math.max(keyBlockSteps, Math.ceil((hashes.length * keysPerBlock) / maxSoundKeys));
  const chosen: number[] = [];
  for (let start = 0; start < hashes.length; start += blockSteps) {
    const steps = Array.from({ length: Math.min(blockSteps, hashes.length - start) }, (_, index) => start + index);
    const heard = steps.filter((step) => hashes[step] !== 0);
    heard.sort((one, other) => (certainty[other] ?? 0) - (certainty[one] ?? 0));
    chosen.push(...heard.slice(0, keysPerBlock).map((step) => hashes[step] ?? 0));
  }
  return chosen;
}

const version = 1;
const headerBytes = 12;
const mouthBytes = 12 + mouthCells;
const pictureBytes = thumbnailSide * thumbnailSide;
const areaUnit = 65_535;

/** Layout: version, numbers of pictures, mouths and hashes; then pictures, mouths and hashes, little-endian. */
function packFingerprint({ sound, thumbnails, mouths }: UnpackedFingerprint): string {
  const bytes = Buffer.alloc(
    headerBytes + thumbnails.length * pictureBytes + mouths.length * mouthBytes + sound.length * 4,
  );
  bytes.writeUInt8(version, 0);
  bytes.writeUInt8(thumbnails.length, 1);
  bytes.writeUInt16LE(mouths.length, 2);
  bytes.writeUInt32LE(sound.length, 4);
  let offset = headerBytes;
  for (const thumbnail of thumbnails) {
    bytes.set(thumbnail.map(Math.round), offset);
    offset += pictureBytes;
  }
  for (const { timeMs, area, cells } of mouths) {
    bytes.writeUInt32LE(Math.round(timeMs), offset);
    for (const [index, share] of [area.left, area.top, area.width, area.height].entries())
      bytes.writeUInt16LE(Math.round(share * areaUnit), offset + 4 + 2 * index);
    bytes.set(cells.map(Math.round), offset + 12);
    offset += mouthBytes;
  }
  for (const hash of sound) offset = bytes.writeUInt32LE(hash, offset);
  return bytes.toString('base64');
}

/** Throws `internal` for a fingerprint of another version, and for an incomplete one. */
export function unpackFingerprint(packed: string): UnpackedFingerprint {
  const bytes = Buffer.from(packed, 'base64');
  if (bytes[0] !== version) throw new LipsyncError('internal', 'A stored fingerprint has an unknown version.');
  if (bytes.length < headerBytes || bytes.length !== sizeOf(bytes))
    throw new LipsyncError('internal', 'A stored fingerprint is incomplete.');
  let offset = headerBytes;
  const thumbnails = Array.from({ length: bytes.readUInt8(1) }, () => {
    offset += pictureBytes;
    return Float32Array.from(bytes.subarray(offset - pictureBytes, offset));
  });
  const mouths = Array.from({ length: bytes.readUInt16LE(2) }, () => {
    const start = offset;
    offset += mouthBytes;
    const share = (index: number): number => bytes.readUInt16LE(start + 4 + 2 * index) / areaUnit;
    return {
      timeMs: bytes.readUInt32LE(start),
      area: { left: share(0), top: share(1), width: share(2), height: share(3) },
      cells: Float32Array.from(bytes.subarray(start + 12, start + mouthBytes)),
    };
  });
  const soundStart = offset;
  const sound = Uint32Array.from({ length: bytes.readUInt32LE(4) }, (_, step) =>
    bytes.readUInt32LE(soundStart + 4 * step),
  );
  return { sound, thumbnails, mouths };
}

/** The length that the header states. */
function sizeOf(bytes: Buffer): number {
  const [pictures, mouths, hashes] = [bytes.readUInt8(1), bytes.readUInt16LE(2), bytes.readUInt32LE(4)];
  return headerBytes + pictures * pictureBytes + mouths * mouthBytes + hashes * 4;
}

function encodeWords(words: readonly number[]): string {
  const bytes = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) bytes.writeUInt32LE(word, index * 4);
  return bytes.toString('base64');
}

/** Throws nothing: an incomplete word at the end is left out. */
export function decodeWords(text: string): Uint32Array {
  const bytes = Buffer.from(text, 'base64');
  return Uint32Array.from({ length: bytes.length >> 2 }, (_, index) => bytes.readUInt32LE(index * 4));
}

/** Time of a stored hash in fine steps. */
export function fineStepOf(hashStep: number): number {
  return hashStep * fineStepsPerHash;
}
