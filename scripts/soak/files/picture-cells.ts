import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ffmpeg, ffprobe } from './media-tools.ts';
import { frameSize, readRate } from './numbered-clip.ts';

/** Clips and stills that need more than decoding: a vendor must receive upright SDR frames at a usual rate. */

interface Picture {
  readonly extension: string;
  /** Filters from the numbered clip, or from its first frame, to what the file stores, and the encoder. */
  readonly stored: string;
  readonly encoder: readonly string[];
  /** Filters from the same source to what a viewer sees, if it is not the source. */
  readonly shown?: string;
  readonly isStill?: boolean;
  /** Changes the written file. */
  readonly patch?: (file: Buffer) => Buffer;
}

const { width, height } = frameSize;
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '12', '-pix_fmt', 'yuv420p'];
const x265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-crf', '12', '-x265-params', 'log-level=none'];
const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '3M'];
const bt2020 = ['-color_primaries', 'bt2020', '-colorspace', 'bt2020nc'];

/** White of the source becomes 203 cd/m². */
const toHdr = (transfer: string): string =>
  `zscale=tin=bt709:min=bt709:pin=bt709:rin=tv:t=${transfer}:m=bt2020nc:p=bt2020:npl=203,format=yuv420p10le`;

/** Two frames become the fields of one; the picture moves by some pixels between them. */
const moving = `setpts=PTS/2,fps=50,scale=${width * 1.1}:-2,crop=${width}:${height}:x='16+15*sin(n/3)':y=9`;
const firstFields = `${moving},select='not(mod(n\\,2))'`;

/** A see-through green corner, which is shown in black. */
const corner = 'lt(X\\,64)*lt(Y\\,64)';
const greenCorner = `format=gbrap,geq=r='r(X\\,Y)*(1-${corner})':g='255*${corner}+g(X\\,Y)*(1-${corner})':b='b(X\\,Y)*(1-${corner})':a='255*(1-${corner})'`;
const blackCorner = 'drawbox=x=0:y=0:w=64:h=64:color=black:t=fill';

const pictures: Readonly<Record<string, Picture>> = {
  'HLG, HEVC in MOV': {
    extension: 'mov',
    stored: toHdr('arib-std-b67'),
    encoder: [...x265, ...bt2020, '-color_trc', 'arib-std-b67', '-tag:v', 'hvc1'],
  },
  'HLG, transfer tag only, HEVC in MPEG-TS': {
    extension: 'ts',
    stored: `${toHdr('arib-std-b67')},setparams=color_primaries=unknown:colorspace=unknown`,
    encoder: [...x265, '-color_trc', 'arib-std-b67'],
  },
  'PQ, VP9 in WebM': {
    extension: 'webm',
    stored: toHdr('smpte2084'),
    encoder: [...vp9, '-profile:v', '2', ...bt2020, '-color_trc', 'smpte2084'],
  },
  'transparent VP9 in WebM': {
    extension: 'webm',
    stored: `${greenCorner},format=yuva420p`,
    encoder: vp9,
    shown: blackCorner,
  },
  'transparent PNG': {
    extension: 'png',
    stored: `${greenCorner},format=rgba`,
    encoder: [],
    shown: blackCorner,
    isStill: true,
  },
  'EXIF 6, JPEG': {
    extension: 'jpg',
    stored: 'transpose=cclock',
    encoder: ['-q:v', '2'],
    isStill: true,
    patch: (jpeg) => Buffer.concat([jpeg.subarray(0, 2), jpegSegment(exifOf(6)), jpeg.subarray(2)]),
  },
  'EXIF 5, WebP': {
    extension: 'webp',
    stored: 'transpose=cclock_flip',
    encoder: ['-quality', '95'],
    isStill: true,
    patch: (webp) => webpWithExif(webp, exifOf(5)),
  },
  'EXIF 8, PNG': {
    extension: 'png',
    stored: 'transpose=clock',
    encoder: [],
    isStill: true,
    patch: (png) => Buffer.concat([png.subarray(0, 33), pngChunk('eXIf', exifOf(8)), png.subarray(33)]),
  },
  'interlaced H.264 in MPEG-TS': {
    extension: 'ts',
    stored: `${moving},interlace=scan=tff:lowpass=off`,
    encoder: [...x264, '-flags', '+ildct+ilme', '-x264opts', 'tff=1'],
    shown: firstFields,
  },
  'interlaced MPEG-2 in MKV': {
    extension: 'mkv',
    stored: `${moving},interlace=scan=bff:lowpass=off`,
    encoder: ['-c:v', 'mpeg2video', '-q:v', '2', '-flags', '+ildct+ilme', '-top', '0'],
    shown: firstFields,
  },
  '5 frames per second in MP4': { extension: 'mp4', stored: 'fps=5', encoder: x264, shown: 'fps=5' },
  '12 frames per second in WebM': { extension: 'webm', stored: 'fps=12', encoder: vp9, shown: 'fps=12' },
};

export interface PictureCell {
  readonly picture: string;
}

export const pictureCells: readonly PictureCell[] = Object.keys(pictures).map((picture) => ({ picture }));

export interface PictureSources {
  readonly numberedPath: string;
  readonly stillPath: string;
}

/** Writes the clip or still of a cell to `folder` and returns its path. */
export async function writePicture(cell: PictureCell, sources: PictureSources, folder: string): Promise<string> {
  const { extension, stored, encoder, isStill = false, patch } = pictureOf(cell);
  const path = join(folder, `picture.${extension}`);
  const source = isStill ? sources.stillPath : sources.numberedPath;
  const frames = isStill ? ['-frames:v', '1'] : [];
  await ffmpeg('-i', source, '-an', '-vf', stored, ...encoder, ...frames, path);
  if (patch) await writeFile(path, patch(await readFile(path)));
  return path;
}

export interface ReceivedPicture {
  readonly width: number;
  readonly height: number;
  readonly rate: number;
  readonly transfer: string;
  readonly fieldOrder: string;
  /** Against what a viewer of the file sees, in decibels; 0 for another size. */
  readonly psnr: number;
}

/** Compares a received clip, frame by frame, with what a viewer of the cell's file sees. */
export async function comparePicture(
  cell: PictureCell,
  receivedPath: string,
  sources: PictureSources,
): Promise<ReceivedPicture> {
  const { shown = 'null', isStill = false } = pictureOf(cell);
  const entries = 'stream=width,height,color_transfer,field_order';
  const facts = (await ffprobe('-select_streams', 'v:0', '-show_entries', entries, receivedPath)).split(',');
  const [receivedWidth = 0, receivedHeight = 0] = facts.map(Number);
  const [, , transfer = '', fieldOrder = ''] = facts;
  const rate = await readRate(receivedPath);
  const size = { width: receivedWidth, height: receivedHeight };
  const received = { ...size, rate, transfer, fieldOrder };
  if (size.width !== width || size.height !== height) return { ...received, psnr: 0 };
  // The numbers at the lower edge have the contrast of no real picture.
  const part = `format=yuv420p,crop=${width}:${(height * 5) / 6}:0:0,settb=1/25,setpts=N`;
  const { log } = await ffmpeg(
    '-i',
    receivedPath,
    ...(isStill ? ['-loop', '1'] : []),
    '-i',
    isStill ? sources.stillPath : sources.numberedPath,
    '-filter_complex',
    `[0:v]${part}[received];[1:v]${shown},fps=${rate},${part}[shown];[received][shown]psnr=shortest=1`,
    '-an',
    '-f',
    'null',
    '-',
  );
  return { ...received, psnr: Number(/PSNR .*average:(\S+)/.exec(log)?.[1] ?? 0) };
}

function pictureOf({ picture }: PictureCell): Picture {
  const found = pictures[picture];
  if (found === undefined) throw new Error(`Unknown picture ${picture}.`);
  return found;
}

/** EXIF data, little-endian, whose only entry is the orientation. */
function exifOf(orientation: number): Buffer {
  const exif = Buffer.from('49492a0008000000010012010300010000000000000000000000', 'hex');
  exif.writeUInt16LE(orientation, 18);
  return exif;
}

function jpegSegment(exif: Buffer): Buffer {
  const segment = Buffer.concat([Buffer.from('ffe10000', 'hex'), Buffer.from('Exif\0\0'), exif]);
  segment.writeUInt16BE(segment.length - 2, 2);
  return segment;
}

function pngChunk(name: string, contents: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name), contents]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(contents.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** Puts the simple WebP that ffmpeg writes into the extended format. The stored size is that of the turned frame. */
function webpWithExif(webp: Buffer, exif: Buffer): Buffer {
  const chunk = (name: string, contents: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(contents.length);
    return Buffer.concat([Buffer.from(name), length, contents, Buffer.alloc(contents.length % 2)]);
  };
  const header = Buffer.alloc(10);
  header[0] = 0b1000;
  header.writeUIntLE(height - 1, 4, 3);
  header.writeUIntLE(width - 1, 7, 3);
  const contents = [chunk('VP8X', header), webp.subarray(12), chunk('EXIF', exif)];
  return chunk('RIFF', Buffer.concat([Buffer.from('WEBP'), ...contents]));
}
