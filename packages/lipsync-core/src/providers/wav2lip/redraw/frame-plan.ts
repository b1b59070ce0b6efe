import type { SilenceMode } from '../../../contract/index.ts';

/** One face that the model draws for a frame: from which sound, shown which mouth, and its share in what is seen. */
export interface Drawing {
  readonly sound: 'speech' | 'silence';
  /** What the model is shown unmasked: this frame's own mouth, or the speaker's most closed one. */
  readonly reference: 'own' | 'closed';
  readonly share: number;
}

/** How a frame's mouth is made; the shares add up to 1 where there is any drawing. */
export interface FramePlan {
  readonly drawings: readonly Drawing[];
  /** How much of the drawn mouth replaces the clip's own, 0–1. */
  readonly strength: number;
}

const speaking: FramePlan = { drawings: [{ sound: 'speech', reference: 'own', share: 1 }], strength: 1 };
const untouched: FramePlan = { drawings: [], strength: 0 };
const closed: FramePlan = { drawings: [{ sound: 'silence', reference: 'closed', share: 1 }], strength: 1 };

/**
 * What the silence mode makes of a frame. `voiced` is 1 in speech, 0 in pauses and in between at their borders, where
 * one fades into the other. Pure.
 */
export function planFrame(silenceMode: SilenceMode, voiced: number): FramePlan {
  if (silenceMode === 'generate' || voiced >= 1) return speaking;
  if (silenceMode === 'keep') return voiced <= 0 ? untouched : { ...speaking, strength: voiced };
  if (voiced <= 0) return closed;
  return {
    drawings: [
      { sound: 'speech', reference: 'own', share: voiced },
      { sound: 'silence', reference: 'closed', share: 1 - voiced },
    ],
    strength: 1,
  };
}

/** Drawings that one frame can need. */
export const mostDrawings = 2;
