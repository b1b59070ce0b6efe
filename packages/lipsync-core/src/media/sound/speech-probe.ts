import { LipsyncError } from '../../errors/index.ts';
import { ChannelMeter } from './channel-meter.ts';
import { isInputRejection } from '../ffmpeg-process.ts';
import type { ProbeReport } from '../ffprobe.ts';
import { probeInput, requireDuration, requireFile, type ProbeContext } from '../input-checks.ts';
import type { SpeechFacts } from '../media-types.ts';
import { readOpenEndedSound } from '../containers/open-ended-sound.ts';
import { refuseRawPcm } from './raw-pcm.ts';
import {
  countTracks,
  describeTrack,
  describeTracks,
  isKnownSound,
  listSoundTracks,
  orderTracks,
  requireTrack,
  unknownCodec,
  type ListedTrack,
} from './track-choice.ts';
import { bytesPerSample } from '../sample-decoder.ts';
import { findSoundEnds } from './sound-ends.ts';
import { mixToMono } from './sound-mix.ts';
import { decodeSoundTrack, planSoundTrack, type SoundTrackPlan } from './sound-track.ts';
import { writeWav, type WavFormat } from '../containers/wav-file.ts';

export interface SpeechProbeContext extends ProbeContext {
  /**
   * Receives the speech as a player plays it, as a WAV file in which every sample is at its time. More than two channels
   * are mixed to mono, so that its size is bounded. The facts then describe how to read this file.
   */
  readonly targetPath?: string | undefined;
  /** Track to use, counted from 1; by default the default track, or the first one that can be decoded. */
  readonly audioTrack?: number | undefined;
}

const what = 'speech audio';
/** Tracks that are tried; a file with more of them that cannot be decoded is refused. */
const maxTriedTracks = 10;
/** As many as a field recorder has; damaged headers declare more. */
const maxChannels = 32;

/**
 * Probes a speech recording by decoding it completely, because durations in headers are often wrong. Throws
 * `not_found`, `speech_unusable`, `media_failed`, `request_invalid` for a track that does not exist, or the abort error.
 */
export async function probeSpeech(path: string, context: SpeechProbeContext): Promise<SpeechFacts> {
  const { signal, audioTrack } = context;
  await requireFile(path, what, 'speech_unusable');
  const report = await probeFile(path, signal);
  const tracks = listSoundTracks(report);
  if (tracks.length === 0)
    throw new LipsyncError('speech_unusable', 'The audio file has no audio stream. Use a file with sound.');
  const candidates = audioTrack === undefined ? orderTracks(tracks) : [requireTrack(tracks, audioTrack)];
  let failure: LipsyncError | undefined;
  for (const track of candidates.slice(0, maxTriedTracks)) {
    const probed = await probeTrack(path, { track, report }, context);
    if (probed.type === 'decoded') {
      const isChosen = audioTrack !== undefined || tracks.length === 1;
      return isChosen ? probed.facts : { ...probed.facts, trackChoice: describeChoice(track, tracks) };
    }
    failure ??= undecodable(track, audioTrack === undefined ? [] : tracks, probed.cause);
  }
  throw failure ?? new LipsyncError('internal', 'No audio track was tried.');
}

/** Score of a format that only the name of the file suggests. */
const guessedScore = 1;

async function probeFile(path: string, signal: AbortSignal | undefined): Promise<ProbeReport> {
  const openEnded = await readOpenEndedSound(path);
  if (openEnded) return openEnded.report;
  try {
    const report = await probeInput(path, what, 'speech_unusable', { signal });
    if (report.format.probe_score <= guessedScore) await refuseRawPcm(path);
    return report;
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'speech_unusable') await refuseRawPcm(path);
    throw error;
  }
}

type ProbedTrack =
  | { readonly type: 'decoded'; readonly facts: SpeechFacts }
  | { readonly type: 'undecodable'; readonly cause?: unknown };

async function probeTrack(
  path: string,
  { track: { stream }, report }: { readonly track: ListedTrack; readonly report: ProbeReport },
  context: SpeechProbeContext,
): Promise<ProbedTrack> {
  const { index: streamIndex, sample_rate: sampleRateHz, channels, codec_name: codec } = stream;
  if (!isKnownSound(stream) || !sampleRateHz || !channels || codec === undefined) return { type: 'undecodable' };
  if (channels > maxChannels) return { type: 'undecodable' };
  const plan = await planSoundTrack(path, stream, report, context.signal);
  const format = { sampleRateHz: decodedRateHz, channels, channelLayout: stream.channel_layout };
  const meter = new ChannelMeter(channels, decodedRateHz);
  const writesChannels = channels <= maxWrittenChannels;
  let durationMs;
  try {
    durationMs = await decodeTrack(plan, {
      ...context,
      format,
      meter,
      ...(!writesChannels && { targetPath: undefined }),
    });
  } catch (error) {
    if (isInputRejection(error)) return { type: 'undecodable', cause: error };
    throw error;
  }
  requireDuration(durationMs / 1000, context.limits, what, 'speech_unusable');
  if (durationMs === 0) return { type: 'undecodable' };
  const mix = meter.finish();
  const ends = await findSoundEnds(path, { stream, report, actualMs: durationMs, signal: context.signal });
  const facts = { streamIndex, mix, codec, sampleRateHz, channels, durationMs, ...ends };
  const { targetPath, signal } = context;
  if (targetPath === undefined) return { type: 'decoded', facts };
  if (writesChannels) return { type: 'decoded', facts: { ...facts, streamIndex: 0 } };
  await writeWav(targetPath, monoFormat, mixToMono(decodeSoundTrack(plan, format, signal), mix));
  return { type: 'decoded', facts: { ...facts, streamIndex: 0, mix: { ...mix, weights: [1] }, appliedMix: mix } };
}

/** Equal to the sample rate of takes, so that the speech is resampled once. */
const decodedRateHz = 48_000;

/** Speech with more channels is decoded twice: which of them carry voice is only certain at its end. */
const maxWrittenChannels = 2;
const monoFormat: WavFormat = { sampleRateHz: decodedRateHz, channels: 1, channelLayout: 'mono' };

function bytesPerMs({ sampleRateHz, channels }: WavFormat): number {
  return (sampleRateHz * channels * bytesPerSample) / 1000;
}

/** Decodes a track, into a file if one is given, until soon after the longest duration. Returns its duration. */
async function decodeTrack(
  plan: SoundTrackPlan,
  { format, meter, targetPath, limits, signal }: SpeechProbeContext & DecodedTrack,
): Promise<number> {
  const maxBytes = (limits.maxDurationMs + 1_000) * bytesPerMs(format);
  const sound = measured(meter, upTo(maxBytes, decodeSoundTrack(plan, format, signal)));
  const sizeBytes = await (targetPath === undefined ? countBytes(sound) : writeWav(targetPath, format, sound));
  return sizeBytes / bytesPerMs(format);
}

interface DecodedTrack {
  readonly format: WavFormat;
  readonly meter: ChannelMeter;
}

async function* measured(meter: ChannelMeter, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    meter.push(chunk);
    yield chunk;
  }
}

async function* upTo(maxBytes: number, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    if (bytes > maxBytes) return;
  }
}

async function countBytes(chunks: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

function describeChoice(track: ListedTrack, tracks: readonly ListedTrack[]): string {
  const others = tracks.filter(({ number }) => number !== track.number);
  return `The speech audio has ${countTracks(tracks)}. Track ${describeTrack(track)} was used, not ${describeTracks(others)}.`;
}

/** The error of a track that was chosen lists the others. */
function undecodable({ stream, number }: ListedTrack, tracks: readonly ListedTrack[], cause: unknown): LipsyncError {
  const { codec_name: codec = unknownCodec, channels = 0 } = stream;
  const format = codec === unknownCodec ? 'an unknown format' : `the format ${codec}`;
  const others = tracks.filter((track) => track.number !== number);
  const advice =
    others.length === 0
      ? 'Convert it to WAV, mono or stereo.'
      : `Choose another track with audio_track, ${describeTracks(others)}, or convert it to WAV, mono or stereo.`;
  return new LipsyncError(
    'speech_unusable',
    `The speech audio cannot be decoded (${format}, ${channels} ${channels === 1 ? 'channel' : 'channels'}). ${advice}`,
    { cause },
  );
}
