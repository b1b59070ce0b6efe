import { LipsyncError } from '../../errors/index.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';

/** An audio stream of a file. */
export interface ListedTrack {
  /** Counted from 1 among the audio streams, as players and `audio_track` count. */
  readonly number: number;
  readonly stream: ProbedStream;
}

/** The name that ffprobe gives to a codec without a decoder. */
export const unknownCodec = 'unknown';
const maxTextLength = 40;
/** Tracks that an error or a warning lists. */
const maxListedTracks = 8;

/** The audio streams of a file in its order. Pure. */
export function listSoundTracks({ streams }: ProbeReport): readonly ListedTrack[] {
  return streams
    .filter(({ codec_type }) => codec_type === 'audio')
    .map((stream, index) => ({ number: index + 1, stream }));
}

/** Whether ffprobe found a decoder and the format of a stream. */
export function isKnownSound({ codec_name: codec, sample_rate: rate, channels }: ProbedStream): boolean {
  return codec !== undefined && codec !== unknownCodec && Boolean(rate) && Boolean(channels);
}

/** The tracks in the order in which they are tried: those that players choose by default, then the others. Pure. */
export function orderTracks(tracks: readonly ListedTrack[]): readonly ListedTrack[] {
  const rank = ({ stream }: ListedTrack): number =>
    (isKnownSound(stream) ? 0 : 2) + (stream.disposition.default === 1 ? 0 : 1);
  return tracks.toSorted((first, second) => rank(first) - rank(second));
}

/** The track that a request chooses. Throws `request_invalid` with the list of tracks when there is none. */
export function requireTrack(tracks: readonly ListedTrack[], number: number): ListedTrack {
  const track = tracks.find((listed) => listed.number === number);
  if (track) return track;
  throw new LipsyncError(
    'request_invalid',
    `audio_track is ${number}, but the speech audio has ${countTracks(tracks)}: ${describeTracks(tracks)}.`,
  );
}

/** Such as "2 audio tracks". Pure. */
export function countTracks({ length }: readonly ListedTrack[]): string {
  return `${length} audio ${length === 1 ? 'track' : 'tracks'}`;
}

/** Such as "1 (deu, aac, 2 channels), 2 (eng, default, aac, 2 channels)". Pure. */
export function describeTracks(tracks: readonly ListedTrack[]): string {
  const listed = tracks.slice(0, maxListedTracks).map(describeTrack).join(', ');
  return tracks.length > maxListedTracks ? `${listed}, and ${tracks.length - maxListedTracks} more` : listed;
}

/** Such as "2 (eng, default, aac, 2 channels)". Pure. */
export function describeTrack({ number, stream }: ListedTrack): string {
  const { tags, disposition, codec_name: codec = unknownCodec, channels = 0 } = stream;
  const facts = [
    ...[tags['language'], tags['title']].flatMap((text) => toPlainText(text)),
    ...(disposition.default === 1 ? ['default'] : []),
    codec === unknownCodec ? 'unknown format' : codec,
    ...(channels > 0 ? [`${channels} ${channels === 1 ? 'channel' : 'channels'}`] : []),
  ];
  return `${number} (${facts.join(', ')})`;
}

/** Text from a file, for a message; none for an undetermined language. */
function toPlainText(text: string | undefined): readonly string[] {
  const plain = text?.replaceAll(/[^\p{L}\p{N}\p{P} ]/gu, '').trim();
  return plain === undefined || plain === '' || plain === 'und' ? [] : [plain.slice(0, maxTextLength)];
}
