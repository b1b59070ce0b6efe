/** Uniform values of the mulberry32 generator. */
export function uniform(length: number, low: number, high: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  const scale = (high - low) / 2 ** 32;
  let state = seed >>> 0;
  for (let index = 0; index < length; index += 1) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    values[index] = low + scale * ((mixed ^ (mixed >>> 14)) >>> 0);
  }
  return values;
}

/** A seed for one of several series: the seed combined with the 32-bit FNV-1a hash of a name. */
export function seedOf(text: string, seed: number): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return seed ^ hash;
}
