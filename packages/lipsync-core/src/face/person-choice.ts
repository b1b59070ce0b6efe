/** What is known of one person over a whole shot. */
export interface PersonSummary {
  readonly person: number;
  readonly firstFrame: number;
  readonly lastFrame: number;
  /** Frames in which the face was found. */
  readonly sightings: number;
  /** Sum over those frames of how large and central the face was. */
  readonly prominence: number;
}

const fewestSightings = 3;

/**
 * Chooses whom a shot is about: the person most prominent over the whole shot, and then whoever is in view when that one is
 * not. The people chosen never overlap in time. Someone seen in fewer frames than a glance (3, or the shot's length) is not a face.
 */
export function choosePeople(people: readonly PersonSummary[], shotLength: number): readonly PersonSummary[] {
  const needed = Math.min(fewestSightings, shotLength);
  const chosen: PersonSummary[] = [];
  for (const person of people.toSorted((first, second) => second.prominence - first.prominence)) {
    const free = chosen.every(
      ({ firstFrame, lastFrame }) => person.lastFrame < firstFrame || person.firstFrame > lastFrame,
    );
    if (person.sightings >= needed && free) chosen.push(person);
  }
  return chosen.sort((first, second) => first.firstFrame - second.firstFrame);
}
