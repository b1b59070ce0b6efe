import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import type { Sighting } from './face-follower.ts';
import { landmarkCount } from './face-types.ts';
import { choosePeople, type PersonSummary } from './person-choice.ts';

const pointBytes = landmarkCount * 3 * 4;

/** A chosen face in one frame, its points still on disk. */
export interface StoredSighting {
  readonly frame: number;
  readonly person: number;
  readonly offset: number;
}

/** Keeps the sightings of one shot on disk, so that a shot of any length takes a few bytes of memory per frame. */
export interface SightingStore {
  add(sighting: Sighting): void;
  /** Sightings of the people whom the shot is about, by frame; at most one per frame. */
  chosen(shotLength: number): readonly StoredSighting[];
  read(sighting: StoredSighting): Float32Array;
  /** Forgets everything, for the next shot. */
  clear(): void;
  /** Closes and removes the file. */
  dispose(): void;
}

/** Opens a store in a new file at `path`. The caller disposes of it. */
export function openSightingStore(path: string): SightingStore {
  const descriptor = openSync(path, 'wx+');
  const people = new Map<number, PersonSummary>();
  const index = new Map<number, StoredSighting[]>();
  let end = 0;
  return {
    add: ({ frame, person, points, prominence }) => {
      writeSync(descriptor, points, 0, pointBytes, end);
      people.set(person, addTo(people.get(person), { frame, person, prominence }));
      const stored = { frame, person, offset: end };
      const known = index.get(person);
      if (known) known.push(stored);
      else index.set(person, [stored]);
      end += pointBytes;
    },
    chosen: (shotLength) =>
      choosePeople([...people.values()], shotLength).flatMap(({ person }) => index.get(person) ?? []),
    read: ({ offset }) => {
      const points = new Float32Array(landmarkCount * 3);
      readSync(descriptor, points, 0, pointBytes, offset);
      return points;
    },
    clear: () => {
      people.clear();
      index.clear();
      end = 0;
    },
    dispose: () => {
      closeSync(descriptor);
      rmSync(path, { force: true });
    },
  };
}

function addTo(
  summary: PersonSummary | undefined,
  { frame, person, prominence }: Pick<Sighting, 'frame' | 'person' | 'prominence'>,
): PersonSummary {
  return {
    person,
    firstFrame: summary?.firstFrame ?? frame,
    lastFrame: frame,
    sightings: (summary?.sightings ?? 0) + 1,
    prominence: (summary?.prominence ?? 0) + prominence,
  };
}
