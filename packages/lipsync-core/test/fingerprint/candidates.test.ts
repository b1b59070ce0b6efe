import { expect, it } from 'vitest';
import { Candidates } from '../../src/fingerprint/candidates.ts';
import type { StoredKey } from '../../src/fingerprint/fingerprint-store.ts';

function encode(words: readonly number[]): string {
  return Buffer.from(Uint32Array.from(words).buffer).toString('base64');
}

const sound = [11, 12, 13, 14];
const query = { sound: new Set(sound), pictures: Uint32Array.of(0, 0) };

function keyOf(jobId: string, sounds: readonly number[], differingBits: number): StoredKey {
  return { jobId, owner: null, sound: encode(sounds), pictures: encode([2 ** differingBits - 1, 0]) };
}

it('A copy is compared behind many outputs with its sound only, its picture only, or less of both.', () => {
  const many = (name: string, sounds: readonly number[], bits: number) =>
    Array.from({ length: 100 }, (_, index) => keyOf(`${name}_${index}`, sounds, bits));
  const candidates = new Candidates(query, () => true);
  const less = [...many('two_hits', sound.slice(2), 0), ...many('near', sound, 4)];
  for (const page of [many('heard', sound, 30), many('seen', [1, 2], 0), less]) candidates.add(page);
  candidates.add([keyOf('copy', sound, 0)]);
  const listed = candidates.list();
  expect(listed.map(({ jobId }) => jobId)).toContain('copy');
  expect(listed.length).toBeLessThanOrEqual(36);
});

it('Among many equal outputs of others, the one that the caller may see is compared.', () => {
  const candidates = new Candidates(query, (owner) => owner === 'alice');
  candidates.add(Array.from({ length: 50 }, (_, index) => ({ ...keyOf(`job_${index}`, sound, 0), owner: 'bob' })));
  candidates.add([{ ...keyOf('own', sound, 0), owner: 'alice' }]);
  expect(candidates.list()[0]?.jobId).toBe('own');
});
