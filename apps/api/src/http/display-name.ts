const maxLength = 120;

/** Control characters and bidirectional marks, which can disguise a file extension. */
// oxlint-disable-next-line no-control-regex -- control characters are what is removed
const invisible = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A file name that is safe to display: the last path segment of `given` without invisible characters, shortened. It is
 * never used as a path.
 */
export function toDisplayName(given: string, fallback: string): string {
  const segment = given.toWellFormed().split(/[/\\]/).at(-1) ?? '';
  const name = [...segment.replace(invisible, '').normalize('NFC').trim()].slice(0, maxLength).join('');
  return name === '' || /^\.+$/.test(name) ? fallback : name;
}

/** The file name of a finished video, derived from the clip's name. */
export function toOutputName(clipName: string): string {
  const stem = clipName.replace(/\.[^.]*$/, '');
  return `${stem === '' ? 'video' : stem}-lipsync.mp4`;
}
