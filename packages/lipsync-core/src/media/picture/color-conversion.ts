import type { ColorTags } from '../../image/planes.ts';

/** Filters that the conversion of HDR clips to standard range requires. */
export const toneMapFilters = ['zscale', 'tonemap'] as const;

/** Color tags of converted pictures: RGB sources and tone-mapped HDR. */
export const convertedColor = { primaries: 'bt709', transfer: 'bt709', space: 'bt709', range: 'tv' } as const;

/** Whether a pixel format is converted to the YUV of BT.709: RGB, a palette of it, or gray with transparency. */
export function isRgb(pixelFormat: string): boolean {
  return /^(rgb|bgr|gbr|argb|abgr|0rgb|0bgr|x2rgb|x2bgr|pal8|mono|ya8|ya16)/.test(pixelFormat);
}

/** Whether a pixel format has transparency. */
export function hasAlpha(pixelFormat: string): boolean {
  return /^(rgba|bgra|argb|abgr|gbrap|yuva|vuya|ayuv|ya8|ya16|pal8)/.test(pixelFormat);
}

/**
 * Composites a transparent picture on black, so that colors below transparent parts are never shown. YUV is not converted
 * to RGB, which would depend on tags that many files lack.
 */
export function compositing(pixelFormat: string): readonly string[] {
  if (!hasAlpha(pixelFormat)) return [];
  const [transparent, opaque] = isRgb(pixelFormat)
    ? ['gbrap', 'gbrp']
    : [everyDepthOf('yuva444p'), everyDepthOf('yuv444p')];
  return [`format=${transparent}`, 'premultiply=inplace=1', `format=${opaque}`];
}

function everyDepthOf(pixelFormat: string): string {
  return ['', '10le', '12le', '16le'].map((depth) => `${pixelFormat}${depth}`).join('|');
}

/** Decoders that decode transparency, by codec; those that ffmpeg selects ignore it. */
const alphaDecoders: Readonly<Record<string, string>> = { vp8: 'libvpx', vp9: 'libvpx-vp9' };

/** The decoder for a stream whose pixel format states transparency; undefined for the usual one. */
export function getAlphaDecoder(codec: string, pixelFormat: string): string | undefined {
  return hasAlpha(pixelFormat) ? alphaDecoders[codec] : undefined;
}

/** The color of an HDR stream, complete, in ffmpeg's names. */
export type HdrColor = Required<ColorTags>;

const hdrTransfers: readonly string[] = ['smpte2084', 'arib-std-b67'];
/** What zscale accepts; other values are missing or wrong, because PQ and HLG are used with BT.2020. */
const hdrPrimaries: readonly string[] = ['bt2020', 'bt709', 'smpte432', 'smpte431'];
const hdrSpaces: readonly string[] = ['bt2020nc', 'bt2020c', 'bt709', 'ictcp'];

/**
 * The color of a PQ or HLG stream, undefined for other streams. Many files have only the transfer tag: then the values
 * of BT.2100 apply.
 */
export function completeHdrColor(tags: ColorTags, pixelFormat: string): HdrColor | undefined {
  const { primaries = '', transfer = '', space = '', range } = tags;
  if (!hdrTransfers.includes(transfer)) return undefined;
  const planes = isRgb(pixelFormat)
    ? { space: 'gbr', range: 'pc' }
    : { space: hdrSpaces.includes(space) ? space : 'bt2020nc', range: range === 'pc' ? 'pc' : 'tv' };
  return { primaries: hdrPrimaries.includes(primaries) ? primaries : 'bt2020', transfer, ...planes };
}

/** Luminance of white in graphics and of SDR pictures within HDR (ITU-R BT.2408), in cd/m². */
const referenceWhiteNits = 203;
/** Luminance of the brightest highlights that keep their structure; most material is graded for it. */
const peakNits = 1_000;
/** Share of reference white up to which brightness is unchanged. */
const unchangedShare = 0.7;

/**
 * Converts PQ or HLG to BT.709 through linear light. Reference white is mapped so that a picture is as bright as its SDR
 * version; the mobius curve leaves everything up to bright skin unchanged and compresses highlights.
 */
export function toneMapping({ primaries, transfer, space, range }: HdrColor): readonly string[] {
  return [
    `setparams=color_primaries=${primaries}:color_trc=${transfer}:colorspace=${space}:range=${range}`,
    `zscale=transfer=linear:npl=${referenceWhiteNits}`,
    'format=gbrpf32le',
    'zscale=primaries=bt709',
    `tonemap=tonemap=mobius:param=${unchangedShare}:peak=${peakNits / referenceWhiteNits}:desat=0`,
    'zscale=transfer=bt709:matrix=bt709:range=tv',
    'format=yuv420p',
  ];
}
