import { expect, it } from 'vitest';
import { chooseOutput, type FoundOutput } from '../../src/fingerprint/verdict.ts';

const similarity = { picture: 1, sound: 1, mouth: 0.9, offsetMs: 0 };

it('Among equal matches, an output that the caller may see is found; a closer match of another one goes before it.', () => {
  const alices: FoundOutput = { match: 'output', jobId: 'job_alice', owner: 'alice', ...similarity };
  const bobs: FoundOutput = { ...alices, jobId: 'job_bob', owner: 'bob', mouth: 0.8 };
  const seenBy = (name: string, found: readonly FoundOutput[]) => chooseOutput(found, (owner) => owner === name)?.jobId;
  expect(seenBy('bob', [alices, bobs])).toBe('job_bob');
  expect(seenBy('alice', [alices, bobs])).toBe('job_alice');
  expect(seenBy('carol', [bobs, alices])).toBe('job_alice');
  expect(seenBy('bob', [alices, { ...bobs, match: 'same_picture_and_sound' }])).toBe('job_alice');
});
