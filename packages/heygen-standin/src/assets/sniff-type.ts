/** The types that uploads may have, told by their first bytes; undefined for any other. */
export function sniffType(head: Buffer): string | undefined {
  const text = head.toString('latin1');
  if (text.startsWith('\x89PNG')) return 'image/png';
  if (text.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (text.startsWith('%PDF')) return 'application/pdf';
  if (text.startsWith('\x1aE\xdf\xa3')) return 'video/webm';
  if (text.startsWith('RIFF') && text.startsWith('WAVE', 8)) return 'audio/wav';
  if (text.startsWith('ID3') || isMp3Frame(head)) return 'audio/mpeg';
  // QuickTime and M4A have the same box at the start, under brands of their own.
  if (text.startsWith('ftyp', 4) && !/^(qt {2}|M4A )/.test(text.slice(8))) return 'video/mp4';
  return undefined;
}

/** Eleven set bits, then layer III; AAC in ADTS begins alike but has no layer. */
function isMp3Frame(head: Buffer): boolean {
  const second = head[1] ?? 0;
  return head[0] === 0xff && (second & 0xe0) === 0xe0 && (second & 0x06) === 0x02;
}
