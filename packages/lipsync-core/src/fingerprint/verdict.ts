import type { FingerprintMatch } from '../contract/origin-view.ts';
import type { Similarity } from './compare.ts';

/**
 * What counts as the same. docs/marking.md has the measured similarities of copies and of controls, between which these
 * lie.
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
