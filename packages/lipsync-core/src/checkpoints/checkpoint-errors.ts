import { LipsyncError } from '../errors/lipsync-error.ts';

/** The error for a file whose content is not what a checkpoint should hold. Both parts continue a sentence. */
export function invalidCheckpoint(expected: string, found: string, cause?: unknown): LipsyncError {
  const message = `The checkpoint cannot be read: expected ${expected}, found ${found}. Fetch it again as its authors released it.`;
  return new LipsyncError('model_invalid', message, { cause });
}

/** Text from the file as it may appear in a message: quoted, without control characters, shortened. */
export function quoted(text: string): string {
  const longest = 100;
  return JSON.stringify(text.length > longest ? `${text.slice(0, longest)}…` : text);
}
