import { LipsyncError } from '../errors/lipsync-error.ts';

/** The error for a file whose content is not what a checkpoint should hold. Both parts continue a sentence. */
export function invalidCheckpoint(expected: string, found: string, cause?: unknown): LipsyncError {
  const message = `The checkpoint cannot be read: expected ${expected}, found ${found}. Fetch it again as its authors released it.`;
  return new LipsyncError('model_invalid', message, { cause });
}

/** Text from the file as it may appear in a message: quoted, shortened, and whatever could steer a terminal escaped. */
export function quoted(text: string): string {
  const longest = 100;
  const escaped = JSON.stringify(text.slice(0, longest)).replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return text.length > longest ? `${escaped} and so on` : escaped;
}
