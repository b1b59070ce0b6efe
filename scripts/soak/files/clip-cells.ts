import { appendFile, copyFile, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { ffmpeg } from './media-tools.ts';
import { frameCount, frameRate, frameSize } from './numbered-clip.ts';

/** Clips with faults of time, in every container with every codec. */

export const clipFaults = [
  'whole',
  'trimmed',
  'late start',
  'hole',
  'joined',
  'changed size',
  'changed rate',
  'cut off',
] as const;
export type ClipFault = (typeof clipFaults)[number];

const clipCodecs = ['h264', 'vp9', 'mpeg4', 'mjpeg'] as const;
type ClipCodec = (typeof clipCodecs)[number];

const encoders: Readonly<Record<ClipCodec, readonly string[]>> = {
  h264: ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '12', '-pix_fmt', 'yuv420p'],
  vp9: [
    '-c:v',
    'libvpx-vp9',
    '-deadline',
    'realtime',
    '-cpu-used',
    '8',
    '-b:v',
    '800k',
    '-g',
    '12',
    '-pix_fmt',
    'yuv420p',
  ],
  mpeg4: ['-c:v', 'mpeg4', '-q:v', '3', '-bf', '2', '-g', '12', '-pix_fmt', 'yuv420p'],
  mjpeg: ['-c:v', 'mjpeg', '-q:v', '3', '-pix_fmt', 'yuvj420p'],
};

interface Container {
  readonly sound: string;
  readonly codecs: readonly ClipCodec[];
  /** Options of the muxer, e.g. the index in front, so that a cut file can be opened. */
  readonly options?: readonly string[];
  /** Whether files can be joined by appending one to the other. */
  readonly appends?: boolean;
  /** Whether the size may change: parameters of the codec are in the stream, not in the header alone. */
  readonly resizes: readonly ClipCodec[];
  /** Whether the container declares a length, so that a cut file is recognized. */
  readonly declaresLength: boolean;
}

const mp4: Container = {
  sound: 'aac',
  codecs: ['h264', 'vp9', 'mpeg4', 'mjpeg'],
  options: ['-movflags', '+faststart'],
  resizes: ['vp9', 'mjpeg'],
  declaresLength: true,
};

const clipContainers: Readonly<Record<string, Container>> = {
  mp4,
  mov: { ...mp4, codecs: ['h264', 'mpeg4', 'mjpeg'] },
  mkv: { sound: 'aac', codecs: clipCodecs, resizes: ['vp9', 'mjpeg'], declaresLength: true },
  webm: { sound: 'libopus', codecs: ['vp9'], resizes: ['vp9'], declaresLength: true },
  avi: { sound: 'libmp3lame', codecs: clipCodecs, resizes: ['vp9', 'mjpeg'], declaresLength: true },
  ts: { sound: 'aac', codecs: ['h264', 'mpeg4'], appends: true, resizes: ['h264', 'mpeg4'], declaresLength: false },
  flv: { sound: 'aac', codecs: ['h264'], resizes: [], declaresLength: true },
  asf: { sound: 'wmav2', codecs: ['h264', 'mpeg4', 'mjpeg'], resizes: ['mjpeg'], declaresLength: true },
};

export interface ClipCell {
  readonly container: string;
  readonly codec: ClipCodec;
  readonly fault: ClipFault;
}

export const clipCells: readonly ClipCell[] = Object.keys(clipContainers).flatMap((container) =>
  clipCodecs.flatMap((codec) => clipFaults.map((fault) => ({ container, codec, fault }))),
);

/** Why a container cannot hold a cell; undefined when it can. */
export function findObstacle({ container, codec, fault }: ClipCell): string | undefined {
  const { codecs, resizes } = containerOf(container);
  if (!codecs.includes(codec)) return `${container} does not hold ${codec}`;
  if (fault === 'changed size' && !resizes.includes(codec)) return 'its header has one size for all pictures';
  return undefined;
}

export function containerOf(name: string): Container {
  const container = clipContainers[name];
  if (container === undefined) throw new Error(`Unknown container ${name}.`);
  return container;
}

const halfS = frameCount / frameRate / 2;
const cutShare = 0.6;

/** Writes the clip of a cell to `folder` and returns its path. `basePath` is the numbered clip. */
export async function writeClip(cell: ClipCell, basePath: string, folder: string): Promise<string> {
  const name = `${cell.container}-${cell.codec}-${cell.fault.replace(' ', '-')}`;
  const path = (suffix: string): string => join(folder, `${name}${suffix}.${cell.container}`);
  const encode = (target: string, { filter = 'null', before = [] as readonly string[] } = {}): Promise<unknown> =>
    ffmpeg(
      ...before,
      '-i',
      basePath,
      '-f',
      'lavfi',
      '-t',
      String(frameCount / frameRate),
      '-i',
      'sine=r=48000',
      '-map',
      '0:v',
      '-map',
      '1:a',
      '-vf',
      filter,
      ...encoders[cell.codec],
      '-fps_mode',
      'vfr',
      '-c:a',
      containerOf(cell.container).sound,
      ...muxing(cell),
      target,
    );
  switch (cell.fault) {
    case 'whole':
      await encode(path(''));
      break;
    case 'trimmed':
      await encode(path('-long'));
      await ffmpeg('-ss', '1.12', '-i', path('-long'), '-t', '2', '-c', 'copy', ...muxing(cell), path(''));
      break;
    case 'late start':
      await encode(path(''), { before: ['-itsoffset', '1'] });
      break;
    case 'hole':
      await encode(path(''), { filter: `select='not(between(n,30,49))'` });
      break;
    case 'joined':
    case 'changed size':
    case 'changed rate':
      await writeParts(cell, { encode, path });
      break;
    case 'cut off': {
      await encode(path(''));
      await truncate(path(''), Math.floor((await stat(path(''))).size * cutShare));
    }
  }
  return path('');
}

interface CellTools {
  readonly encode: (target: string, options?: { readonly filter?: string }) => Promise<unknown>;
  readonly path: (suffix: string) => string;
}

/** Joins two halves. The second has another size or rate, where the fault is one. */
async function writeParts(cell: ClipCell, { encode, path }: CellTools): Promise<void> {
  const half = frameCount / 2;
  const change = {
    'changed size': `,scale=${frameSize.width * 0.8}:${frameSize.height * 0.8}`,
    // Every second frame is missing.
    'changed rate': `,select='not(mod(n,2))'`,
  }[cell.fault as string];
  await encode(path('-1'), { filter: `trim=end_frame=${half}` });
  await encode(path('-2'), { filter: `trim=start_frame=${half},setpts=PTS-STARTPTS${change ?? ''}` });
  if (containerOf(cell.container).appends) {
    await copyFile(path('-1'), path(''));
    await appendFile(path(''), await readFile(path('-2')));
    return;
  }
  const list = `${path('')}.txt`;
  await appendFile(list, `ffconcat version 1.0\nfile ${path('-1')}\nduration ${halfS}\nfile ${path('-2')}\n`);
  await ffmpeg('-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy', ...muxing(cell), path(''));
}

function muxing({ container }: ClipCell): readonly string[] {
  return [...(containerOf(container).options ?? []), '-strict', '-2'];
}
