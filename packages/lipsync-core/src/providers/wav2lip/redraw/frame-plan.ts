import type { SilenceMode } from '../../../contract/index.ts';

/** One inference for a frame, and its weight in the mixed face. */
export interface InferencePlan {
  readonly mel: 'speech' | 'silence';
  /** The unmasked reference crop: the frame's own face, or the speaker's face with the most closed mouth. */
  readonly reference: 'own' | 'closed';
  readonly weight: number;
}

/** How the mouth of a frame is generated. The weights of the inferences add up to 1. */
export interface FramePlan {
  /** Empty when the frame stays unchanged. */
  readonly inferences: readonly InferencePlan[];
  /** Opacity of the generated mouth over the original, 0 to 1. */
  readonly strength: number;
}

/** Maximum number of inferences of one frame. */
export const maxInferencesPerFrame = 2;

const speaking: FramePlan = { inferences: [{ mel: 'speech', reference: 'own', weight: 1 }], strength: 1 };
const unchanged: FramePlan = { inferences: [], strength: 0 };
const closed: FramePlan = { inferences: [{ mel: 'silence', reference: 'closed', weight: 1 }], strength: 1 };

/** Plans a frame. `voiced` is 1 in speech, 0 in pauses, and between them in the crossfade at their borders. */
export function planFrame(silenceMode: SilenceMode, voiced: number): FramePlan {
  if (silenceMode === 'generate' || voiced >= 1) return speaking;
  if (silenceMode === 'keep') return voiced <= 0 ? unchanged : { ...speaking, strength: voiced };
  if (voiced <= 0) return closed;
  return {
    inferences: [
      { mel: 'speech', reference: 'own', weight: voiced },
      { mel: 'silence', reference: 'closed', weight: 1 - voiced },
    ],
    strength: 1,
  };
}

/** The plan with its opacity multiplied by `visibility`, 0–1. An invisible mouth needs no inference. */
export function fadePlan(plan: FramePlan, visibility: number): FramePlan {
  if (visibility >= 1) return plan;
  return visibility <= 0 ? unchanged : { ...plan, strength: plan.strength * visibility };
}
