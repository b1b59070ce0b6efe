import { planesOf, type Plane } from '../image/planes.ts';
import {
  framesPerSecond,
  openFrames,
  probeClip,
  probeSound,
  readMonoSound,
  shiftSound,
  type ClipFacts,
  type MediaLimits,
} from '../media/index.ts';
import { hashPicture, likelyAreas } from './picture-hash.ts';
import { SoundHasher, variantsOf, type SoundHashes } from './sound-hash.ts';

/** A video that is looked up: its hashes, and small pictures of it. */
export interface VideoQuery {
  /** In steps of 12 ms; without steps for a video without sound. */
  readonly sound: SoundHashes;
  readonly frames: readonly QueryFrame[];
}

export interface QueryFrame {
  readonly timeMs: number;
  readonly luma: Plane;
}

/** By these, candidates are found among all outputs. */
export interface QueryKeys {
  /** Hashes of the sound, and those that differ from them in the least certain bits. */
  readonly sound: ReadonlySet<number>;
  /** Two words per picture. */
  readonly pictures: Uint32Array;
}

/** Only the start of a longer video is looked up. */
const readMs = 120_000;
/** Pictures per second, and the length of their longer side. */
const pictureRate = 25;
const pictureSide = 160;
/** Pictures whose hashes are looked up. */
const hashedPictures = 4;

/**
 * Decodes what is needed of an untrusted video. Throws `clip_unusable` for a file that is no video within the limits,
 * `media_failed`, or the abort error.
 */
export async function readVideoQuery(
  path: string,
  { limits, signal }: { readonly limits: MediaLimits; readonly signal: AbortSignal },
): Promise<VideoQuery> {
  const facts = await probeClip(path, { limits, signal });
  const frames = await readPictures(path, facts, signal);
  return { frames, sound: await hashSound(path, signal) };
}

async function readPictures(path: string, facts: ClipFacts, signal: AbortSignal): Promise<readonly QueryFrame[]> {
  const rate = framesPerSecond(facts.frameRate);
  const range = { start: 0, end: Math.min(facts.frameCount, Math.ceil((rate * readMs) / 1000)) };
  const every = Math.max(1, Math.floor(rate / pictureRate));
  const scale = Math.min(1, pictureSide / Math.max(facts.width, facts.height));
  const [width, height] = [evenSide(facts.width * scale), evenSide(facts.height * scale)];
  const pictures: QueryFrame[] = [];
  for await (const frame of openFrames({ path, facts, range, every, width, height, signal })) {
    const { luma } = planesOf(frame);
    const copy = { ...luma, data: frame.data.slice(0, width * height) };
    pictures.push({ timeMs: (frame.clipFrame * 1000) / rate, luma: copy });
  }
  return pictures;
}

function evenSide(side: number): number {
  return Math.max(2, 2 * Math.round(side / 2));
}

async function hashSound(path: string, signal: AbortSignal): Promise<SoundHashes> {
  const hasher = new SoundHasher({ fine: true, maxMs: readMs });
  const track = await probeSound(path, signal);
  if (track) {
    for await (const chunk of shiftSound(readMonoSound(path, track, signal), track.delayMs)) {
      hasher.add(chunk);
      if (hasher.isFull) break;
    }
  }
  return hasher.finish();
}

/** Returns so many of the frames, evenly spread. */
export function spreadFrames(frames: readonly QueryFrame[], count: number): readonly QueryFrame[] {
  const number = Math.min(count, frames.length);
  return Array.from(
    { length: number },
    (_, index) => frames[Math.floor(((index + 0.5) * frames.length) / number)],
  ).filter((frame) => frame !== undefined);
}

export function keysOf({ sound, frames }: VideoQuery): QueryKeys {
  const hashes = new Set<number>();
  for (const [step, hash] of sound.hashes.entries()) {
    if (hash === 0) continue;
    for (const variant of variantsOf(hash, sound.weak[step] ?? 0)) hashes.add(variant);
  }
  const pictures = new Map<string, readonly [number, number]>();
  for (const { luma } of spreadFrames(frames, hashedPictures)) {
    for (const area of likelyAreas()) {
      const hash = hashPicture(luma, area);
      if (hash) pictures.set(hash.join(), hash);
    }
  }
  return { sound: hashes, pictures: Uint32Array.from([...pictures.values()].flat()) };
}
