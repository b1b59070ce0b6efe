const maxLength = 120;

/** Control characters, and the marks that turn the direction of text around and so disguise an extension. */
// oxlint-disable-next-line no-control-regex -- control characters are what is removed
const invisible = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A name that is safe to show, made of what the caller called a file: its last path segment without invisible
 * characters, shortened. It never names a file of ours.
 */
export function toDisplayName(given: string, fallback: string): string {
  const segment = given.toWellFormed().split(/[/\\]/).at(-1) ?? '';
  const name = [...segment.replace(invisible, '').normalize('NFC').trim()].slice(0, maxLength).join('');
  return name === '' || /^\.+$/.test(name) ? fallback : name;
}

/** The name offered for a finished video: that of the clip it was made of. */
export function toOutputName(clipName: string): string {
  const stem = clipName.replace(/\.[^.]*$/, '');
  return `${stem === '' ? 'video' : stem}-lipsync.mp4`;
}
