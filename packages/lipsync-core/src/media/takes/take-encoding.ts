import { colorArguments } from '../ffmpeg-arguments.ts';
import type { ColorTags } from '../media-types.ts';
import { rawPixelFormat } from '../picture/decode-filter.ts';
import { defaultAudioBitrateKbps } from './take-sound.ts';

/** Quality of the encoded take. */
export interface TakeEncoding {
  /** Constant rate factor of libx264: lower is better and larger. */
  readonly videoCrf: number;
  readonly audioBitrateKbps: number;
}

export const defaultTakeEncoding: TakeEncoding = Object.freeze({
  videoCrf: 16,
  audioBitrateKbps: defaultAudioBitrateKbps,
});

/** Keeps titles, places and chapters of the inputs out of a take. */
export const withoutMetadata = ['-map_metadata', '-1', '-map_chapters', '-1'] as const;

/** The container of a take, with its index at the front. The file follows. */
export const takeContainer = ['-movflags', '+faststart', '-f', 'mp4'] as const;

/** Arguments of the picture of a take: its encoder, one frame for each that comes, and the color tags of the clip. */
export function pictureArguments(encoding: Pick<TakeEncoding, 'videoCrf'>, color: ColorTags): readonly string[] {
  const format = ['-pix_fmt', rawPixelFormat(color), '-fps_mode', 'passthrough'];
  return [...x264Arguments(encoding), ...format, ...colorArguments(color)];
}

/**
 * Arguments of the encoder. Less than half the CPU time of plain veryfast at CRF 17, for about 1 Mbit/s more at
 * 720p and 0.001 less SSIM.
 */
function x264Arguments({ videoCrf }: Pick<TakeEncoding, 'videoCrf'>): readonly string[] {
  const parameters = 'bframes=0:subme=0:me=dia:partitions=i4x4:8x8dct=0:rc-lookahead=3';
  return ['-c:v', 'libx264', '-preset', 'veryfast', '-x264-params', parameters, '-crf', String(videoCrf)];
}
