import { readSync } from 'node:fs';

/** The format of a file, as far as manifests are concerned. */
export type FileFormat =
  | { readonly type: 'can_carry_manifest'; readonly mediaType: string }
  | { readonly type: 'without_manifests' }
  | { readonly type: 'unknown' };

/** Bytes at the start of a file that show its format. */
const sniffedBytes = 16;

/** Formats that can carry a manifest, by what a file starts with: position, text, media type. */
const carriers: readonly (readonly [number, string, string])[] = [
  [4, 'ftyp', 'video/mp4'],
  [1, 'PNG\r\n', 'image/png'],
  [0, 'ÿØÿ', 'image/jpeg'],
  [8, 'WEBP', 'image/webp'],
  [8, 'AVI ', 'video/avi'],
  [8, 'WAVE', 'audio/wav'],
  [0, 'ID3', 'audio/mpeg'],
  // MPEG-1 and MPEG-2, layer 3, with and without a checksum.
  [0, 'ÿû', 'audio/mpeg'],
  [0, 'ÿú', 'audio/mpeg'],
  [0, 'ÿó', 'audio/mpeg'],
  [0, 'ÿò', 'audio/mpeg'],
  [0, 'GIF8', 'image/gif'],
];

/** Formats of video and sound for which C2PA defines no place in the file, or which the library does not read. */
const others: readonly (readonly [number, string])[] = [
  [0, '\x1aEß£'],
  [0, 'OggS'],
  [0, 'fLaC'],
  [0, 'FLV'],
  [0, 'ÿñ'],
  [0, 'ÿù'],
  [0, '0&²u'],
  [4, 'moov'],
  [4, 'mdat'],
  [4, 'wide'],
  [4, 'free'],
  [4, 'skip'],
  // MPEG transport stream, also with time codes, and program stream.
  [0, 'G@'],
  [4, 'G@'],
  [0, '\0\0\x01º'],
  // AC-3, AIFF, AU, CAF, AMR, and WAVE above 4 GiB.
  [0, '\x0bw'],
  [0, 'FORM'],
  [0, '.snd'],
  [0, 'caff'],
  [0, '#!AMR'],
  [0, 'RF64'],
  [0, 'BW64'],
];

/** Detects the format of an open file by its first bytes. */
export function detectFormat(descriptor: number): FileFormat {
  const head = Buffer.alloc(sniffedBytes);
  return formatOf(head.subarray(0, readSync(descriptor, head, 0, head.length, 0)));
}

/** Detects the format of a file that starts with these bytes. Pure. */
export function formatOf(head: Buffer): FileFormat {
  const starts = ([at, signature]: readonly [number, string, string?]): boolean =>
    head.toString('latin1', at, at + signature.length) === signature;
  const carrier = carriers.find(starts);
  if (carrier) return { type: 'can_carry_manifest', mediaType: carrier[2] };
  return { type: others.some(starts) ? 'without_manifests' : 'unknown' };
}
