import { hiddenCharacters } from '@lipsync/core/contract';

const maxLength = 120;

/**
 * A file name that is safe to display: the last path segment of `given` without invisible characters, shortened. It is
 * never used as a path.
 */
export function toDisplayName(given: string, fallback: string): string {
  const segment = given.toWellFormed().split(/[/\\]/).at(-1) ?? '';
  const name = [...segment.replace(hiddenCharacters, '').normalize('NFC').trim()].slice(0, maxLength).join('');
  return name === '' || /^\.+$/.test(name) ? fallback : name;
}

/** The file name of a finished video, derived from the clip's name. */
export function toOutputName(clipName: string): string {
  const stem = clipName.replace(/\.[^.]*$/, '');
  return `${stem === '' ? 'video' : stem}-lipsync.mp4`;
}
