import type { FingerprintMatch } from '../contract/origin-view.ts';
import type { Similarity } from './compare.ts';

/** The output that a video resembles most. */
export interface FoundOutput extends Similarity {
  readonly match: FingerprintMatch;
  readonly jobId: string;
  readonly owner: string | null;
}

/** Whether a caller may see the jobs of an API key; null is that of jobs without one. */
export type MayAccess = (owner: string | null) => boolean;

/** From the closest match to the farthest. */
const order: readonly FingerprintMatch[] = [
  'output',
  'same_picture_and_sound',
  'same_picture_other_sound',
  'same_sound_other_picture',
];

/**
 * What counts as the same: between the similarities of copies and those of controls, which docs/measurements.md has.
 */
const samePicture = 0.85;
const sameSound = 0.4;
const sameMouth = 0.7;
/** Without sound, the offset of the mouths is searched, and the best of many is higher by chance. */
const sameMouthAlone = 0.75;

/** What a video is, compared with an output; null if it has nothing in common with it. Pure. */
export function judgeSimilarity({ picture, sound, mouth }: Similarity): FingerprintMatch | null {
  const isSamePicture = picture >= samePicture;
  const isSameSound = sound !== null && sound >= sameSound;
  if (isSamePicture && isSameSound) return mouth === null || mouth >= sameMouth ? 'output' : 'same_picture_and_sound';
  const isSilent = sound === null && mouth !== null && mouth >= sameMouthAlone;
  if (isSamePicture) return isSilent ? 'output' : 'same_picture_other_sound';
  return isSameSound ? 'same_sound_other_picture' : null;
}

/**
 * The closest match; among equal matches one that the caller may see, then the most similar one. Null for an empty list.
 * Pure.
 */
export function chooseOutput(found: readonly FoundOutput[], mayAccess: MayAccess): FoundOutput | null {
  const sum = ({ picture, sound, mouth }: FoundOutput): number => picture + (sound ?? 0) + (mouth ?? 0);
  const byRank = (one: FoundOutput, other: FoundOutput): number =>
    order.indexOf(one.match) - order.indexOf(other.match) ||
    Number(mayAccess(other.owner)) - Number(mayAccess(one.owner)) ||
    sum(other) - sum(one);
  return found.toSorted(byRank)[0] ?? null;
}
