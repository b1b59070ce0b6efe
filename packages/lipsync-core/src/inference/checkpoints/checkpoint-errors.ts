import { LipsyncError } from '../../errors/lipsync-error.ts';

/** The error for a file whose content is not what a checkpoint should hold. Both parts continue a sentence. */
export function invalidCheckpoint(expected: string, found: string, cause?: unknown): LipsyncError {
  const message = `The checkpoint cannot be read: expected ${expected}, found ${found}. Fetch it again as its authors released it.`;
  return new LipsyncError('model_invalid', message, { cause });
}
