import { decodeWords } from './fingerprint.ts';
import type { StoredKey } from './fingerprint-store.ts';
import { countDifferingBits } from './sound-hash.ts';
import type { QueryKeys } from './video-query.ts';

/** Outputs that are compared, by their sound and by their picture. */
const maxBySound = 12;
const maxByPicture = 12;
const minSoundHits = 2;
/** Bits of 64 in which the picture of a copy differs at most. */
const maxPictureBits = 14;

interface Ranked {
  readonly key: StoredKey;
  readonly rank: number;
}

/** Collects the outputs that resemble a video most, with bounded memory. */
export class Candidates {
  readonly #query: QueryKeys;
  #bySound: Ranked[] = [];
  #byPicture: Ranked[] = [];

  constructor(query: QueryKeys) {
    this.#query = query;
  }

  add(keys: readonly StoredKey[]): void {
    for (const key of keys) {
      const hits = this.#countSoundHits(key);
      if (hits >= minSoundHits) this.#bySound.push({ key, rank: -hits });
      const bits = this.#closestPicture(key);
      if (bits <= maxPictureBits) this.#byPicture.push({ key, rank: bits });
    }
    this.#bySound = best(this.#bySound, maxBySound);
    this.#byPicture = best(this.#byPicture, maxByPicture);
  }

  list(): readonly StoredKey[] {
    return [...new Set([...this.#bySound, ...this.#byPicture].map(({ key }) => key))];
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

/** At equal ranks, the first ones stay. */
function best(all: readonly Ranked[], count: number): Ranked[] {
  return all.toSorted((one, other) => one.rank - other.rank).slice(0, count);
}
