import type { ClipFacts } from '../../media/index.ts';
import type { EngineAddress } from '../wav2lip/engine/engine-address.ts';
import { getMaxFaces } from '../wav2lip/engine/engine-protocol.ts';
import { maxInferencesPerFrame } from '../wav2lip/redraw/frame-plan.ts';
import { heldFrames } from '../wav2lip/redraw/redraw-frames.ts';

/** What all frames that wait for the engine may take. */
const heldFramesBytes = 256 * 1024 ** 2;

export interface BatchFacts {
  readonly clip: Pick<ClipFacts, 'width' | 'height'>;
  readonly engine: Pick<EngineAddress, 'batchSize' | 'cropSizePx'>;
}

/**
 * Frames whose faces are sent to the engine at once, at least 1: as many as it likes, fewer where pictures are so large
 * that those on their way would fill the memory, or crops so large that one message could not hold all drawings. Pure.
 */
export function batchFramesOf({ clip, engine }: BatchFacts): number {
  const frameBytes = clip.width * clip.height * 1.5;
  const inMemory = Math.floor(heldFramesBytes / heldFrames(1) / frameBytes);
  const inMessage = Math.floor(getMaxFaces(engine.cropSizePx) / maxInferencesPerFrame);
  return Math.max(1, Math.min(engine.batchSize, inMemory, inMessage));
}
