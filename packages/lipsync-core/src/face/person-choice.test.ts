import { describe, expect, it } from 'vitest';
import { choosePeople, type PersonSummary } from './person-choice.ts';

function person(id: number, firstFrame: number, lastFrame: number, prominencePerFrame: number): PersonSummary {
  const sightings = lastFrame - firstFrame + 1;
  return { person: id, firstFrame, lastFrame, sightings, prominence: sightings * prominencePerFrame };
}

describe('choosing whom a shot is about', () => {
  it('prefers the one most prominent over the whole shot to one who is larger for a moment', () => {
    const chosen = choosePeople([person(1, 0, 99, 0.4), person(2, 30, 40, 0.9)], 100);
    expect(chosen.map((each) => each.person)).toEqual([1]);
  });

  it('goes on with whoever is in view once that one has left', () => {
    const chosen = choosePeople([person(3, 60, 99, 0.2), person(1, 0, 50, 0.4)], 100);
    expect(chosen.map((each) => each.person)).toEqual([1, 3]);
  });

  it('does not take a glimpse for a face, except in a shot that is no longer', () => {
    expect(choosePeople([person(1, 4, 5, 0.9)], 100)).toEqual([]);
    expect(choosePeople([person(1, 0, 0, 0.9)], 1)).toHaveLength(1);
  });
});
