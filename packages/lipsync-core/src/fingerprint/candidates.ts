import { decodeWords } from './fingerprint.ts';
import type { StoredKey } from './fingerprint-store.ts';
import { countDifferingBits } from './sound-hash.ts';
import type { MayAccess } from './verdict.ts';
import type { QueryKeys } from './video-query.ts';

/** Outputs that are compared: by their sound, by their picture, and by both. */
const maxPerList = 12;
const minSoundHits = 2;
const pictureBits = 64;
/** Bits in which the picture of a copy differs at most. */
const maxPictureBits = 14;

interface Ranked {
  readonly key: StoredKey;
  readonly rank: number;
}

/** Collects the outputs that resemble a video most, with bounded memory. */
export class Candidates {
  readonly #query: QueryKeys;
  readonly #mayAccess: MayAccess;
  #bySound: Ranked[] = [];
  #byPicture: Ranked[] = [];
  /** Where many outputs share the sound, and many others the picture, an exact copy may be in neither of the two lists. */
  #byBoth: Ranked[] = [];

  /** Among equally similar outputs, those that the caller may see are kept. */
  constructor(query: QueryKeys, mayAccess: MayAccess) {
    this.#query = query;
    this.#mayAccess = mayAccess;
  }

  add(keys: readonly StoredKey[]): void {
    for (const key of keys) {
      const hits = this.#countSoundHits(key);
      const bits = this.#closestPicture(key);
      const [isSound, isPicture] = [hits >= minSoundHits, bits <= maxPictureBits];
      if (isSound) this.#bySound.push({ key, rank: -hits });
      if (isPicture) this.#byPicture.push({ key, rank: bits });
      // Half of the bits of two unrelated pictures differ.
      if (isSound && isPicture) this.#byBoth.push({ key, rank: -hits * (1 - (2 * bits) / pictureBits) });
    }
    this.#bySound = this.#best(this.#bySound);
    this.#byPicture = this.#best(this.#byPicture);
    this.#byBoth = this.#best(this.#byBoth);
  }

  list(): readonly StoredKey[] {
    return [...new Set([...this.#byBoth, ...this.#bySound, ...this.#byPicture].map(({ key }) => key))];
  }

  /** At equal ranks, the first ones that the caller may see stay. */
  #best(all: readonly Ranked[]): Ranked[] {
    const hidden = ({ key }: Ranked): number => (this.#mayAccess(key.owner) ? 0 : 1);
    return all.toSorted((one, other) => one.rank - other.rank || hidden(one) - hidden(other)).slice(0, maxPerList);
  }

  #countSoundHits({ sound }: StoredKey): number {
    let hits = 0;
    for (const hash of decodeWords(sound)) if (this.#query.sound.has(hash)) hits += 1;
    return hits;
  }

  #closestPicture({ pictures }: StoredKey): number {
    const stored = decodeWords(pictures);
    const { pictures: asked } = this.#query;
    let closest = Infinity;
    for (let index = 0; index + 1 < stored.length; index += 2) {
      const [first, second] = [stored[index] ?? 0, stored[index + 1] ?? 0];
      for (let other = 0; other < asked.length; other += 2) {
        const bits = countDifferingBits(first, asked[other] ?? 0) + countDifferingBits(second, asked[other + 1] ?? 0);
        if (bits < closest) closest = bits;
      }
    }
    return closest;
  }
}
