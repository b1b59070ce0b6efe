import { appendFile, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ffmpeg } from './media-tools.ts';
import { markCount, markSpacingS, readMarks, type ExpectedMark } from './sound-marks.ts';

/** Speech with faults of time, channels and level, in every format. */

export const speechFaults = [
  'whole',
  'late',
  'hole',
  'joined rates',
  '2 channels',
  '6 channels',
  '10 channels',
  'float',
  'no length',
] as const;
export type SpeechFault = (typeof speechFaults)[number];

interface SpeechFormat {
  readonly encoder: readonly string[];
  /** Options with which the muxer declares no length; undefined when it always declares one, or cannot. */
  readonly withoutLength?: readonly string[];
  /** Whether packets have times, so that some can be missing. */
  readonly hasTimes?: boolean;
  /** Whether a picture that begins at 0 can be beside the sound. */
  readonly picture?: readonly string[];
  readonly maxChannels: number;
  readonly float?: string;
  /** Whether files can be joined by appending one to the other. */
  readonly appends?: boolean;
}

const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8'];

const speechFormats: Readonly<Record<string, SpeechFormat>> = {
  wav: { encoder: ['-c:a', 'pcm_s16le'], withoutLength: ['pipe'], maxChannels: 10, float: 'pcm_f32le', appends: true },
  caf: { encoder: ['-c:a', 'pcm_s16be'], maxChannels: 10, float: 'pcm_f32be' },
  flac: { encoder: ['-c:a', 'flac'], withoutLength: ['pipe'], maxChannels: 6 },
  mp3: {
    encoder: ['-c:a', 'libmp3lame', '-b:a', '96k'],
    withoutLength: ['-write_xing', '0'],
    maxChannels: 2,
    appends: true,
  },
  aac: { encoder: ['-c:a', 'aac'], withoutLength: [], maxChannels: 6, appends: true },
  mp4: {
    encoder: ['-c:a', 'aac'],
    withoutLength: ['-movflags', 'empty_moov+frag_keyframe'],
    hasTimes: true,
    picture: h264,
    maxChannels: 6,
  },
  mkv: {
    encoder: ['-c:a', 'pcm_s16le'],
    withoutLength: ['-live', '1'],
    hasTimes: true,
    picture: h264,
    maxChannels: 10,
    float: 'pcm_f32le',
  },
  webm: {
    encoder: ['-c:a', 'libopus', '-b:a', '96k'],
    withoutLength: ['-live', '1'],
    hasTimes: true,
    picture: vp8,
    maxChannels: 6,
  },
  ogg: { encoder: ['-c:a', 'libvorbis'], hasTimes: true, maxChannels: 6, appends: true },
  ts: { encoder: ['-c:a', 'aac'], withoutLength: [], hasTimes: true, picture: h264, maxChannels: 6, appends: true },
};

export interface SpeechCell {
  readonly format: string;
  readonly fault: SpeechFault;
}

export const speechCells: readonly SpeechCell[] = Object.keys(speechFormats).flatMap((format) =>
  speechFaults.map((fault) => ({ format, fault })),
);

/** Why a format cannot hold a cell; undefined when it can. */
export function findSpeechObstacle({ format, fault }: SpeechCell): string | undefined {
  const { picture, hasTimes, appends, maxChannels, float, withoutLength } = formatOf(format);
  switch (fault) {
    case 'whole':
      return undefined;
    case 'late':
      return picture ? undefined : 'it holds nothing beside the sound';
    case 'hole':
      return hasTimes === true ? undefined : 'its packets have no times';
    case 'joined rates':
      return appends === true ? undefined : 'its header has one rate';
    case '2 channels':
    case '6 channels':
    case '10 channels': {
      const channels = Number.parseInt(fault, 10);
      return channels <= maxChannels ? undefined : `it holds ${maxChannels} channels`;
    }
    case 'float':
      return float === undefined ? 'it holds no floating-point samples' : undefined;
    case 'no length':
      return withoutLength === undefined ? 'it always has a length' : undefined;
  }
}

function formatOf(name: string): SpeechFormat {
  const format = speechFormats[name];
  if (format === undefined) throw new Error(`Unknown format ${name}.`);
  return format;
}

export interface WrittenSpeech {
  readonly path: string;
  /** Marks at the times at which a player plays them, and how far the level may be from that of the source. */
  readonly expected: readonly ExpectedMark[];
  readonly levelToleranceDb: number;
  /** Level of the marks against the source. */
  readonly levelDb: number;
}

const lateS = 0.7;
/** Marks 4, 5 and 6 are in the hole. */
const hole = { startS: 1.17, endS: 2.08 } as const;
const splitMark = 6;
const hotDb = 20;

/** Writes the speech of a cell to `folder`. `marksPath` is the mono file of all marks. */
export async function writeSpeech(cell: SpeechCell, marksPath: string, folder: string): Promise<WrittenSpeech> {
  const { encoder, picture = [], withoutLength = [], float } = formatOf(cell.format);
  const name = (suffix: string): string =>
    join(folder, `${cell.format}-${cell.fault.replaceAll(' ', '-')}${suffix}.${cell.format}`);
  const path = name('');
  const encode = (target: string, ...options: readonly string[]): Promise<unknown> =>
    ffmpeg('-i', marksPath, ...encoder, '-strict', '-2', ...options, target);
  const all = marksFrom(0, markCount);
  const steady = { path, levelToleranceDb: 1, levelDb: 0 };
  // The delay of an encoder that no header declares is heard: it is that of the unchanged file.
  const delayed = async (marks: readonly ExpectedMark[]): Promise<readonly ExpectedMark[]> => {
    await encode(name('-plain'));
    return shift(marks, await measureDelayS(name('-plain'), 0));
  };
  switch (cell.fault) {
    case 'whole':
      await encode(path);
      return { ...steady, expected: await delayed(all) };
    case 'late':
      await ffmpeg(
        '-f',
        'lavfi',
        '-t',
        '5',
        '-i',
        'testsrc2=s=160x90:r=25',
        '-itsoffset',
        String(lateS),
        '-i',
        marksPath,
        '-map',
        '0:v',
        '-map',
        '1:a',
        ...picture,
        ...encoder,
        path,
      );
      return { ...steady, expected: shift(all, lateS) };
    case 'hole':
      await encode(name('-full'));
      await ffmpeg(
        '-i',
        name('-full'),
        '-c',
        'copy',
        '-bsf:a',
        `noise=drop='between(pts*tb,${hole.startS},${hole.endS})'`,
        path,
      );
      return { ...steady, expected: (await delayed(all)).filter(({ mark }) => mark < 4 || mark > 6) };
    case 'joined rates':
      return { ...steady, expected: await writeJoined(cell, marksPath, name) };
    case '2 channels':
      await encode(path, '-ac', '2', '-af', 'pan=stereo|c0=c0|c1=c0');
      return { ...steady, expected: await delayed(all) };
    case '6 channels':
    case '10 channels': {
      const channels = Number.parseInt(cell.fault, 10);
      await ffmpeg(...(await openOneOf(channels, marksPath, name('-raw'))), ...encoder, '-strict', '-2', path);
      return { ...steady, levelToleranceDb: 3, expected: await delayed(all) };
    }
    case 'float':
      await ffmpeg('-i', marksPath, '-af', `volume=${hotDb}dB:precision=float`, '-c:a', float ?? '', path);
      // The peak of 0.25 × 10 becomes full scale at most.
      return { ...steady, levelDb: 12, levelToleranceDb: 1.5, expected: all };
    case 'no length':
      if (withoutLength[0] === 'pipe') await writePiped(cell, marksPath, path);
      else await encode(path, ...withoutLength);
      return { ...steady, expected: shift(all, await measureDelayS(path, 0)) };
  }
}

/** Input options of a sound with the marks on its third channel, the center of 5.1, and silence on all others. */
async function openOneOf(channels: number, marksPath: string, rawPath: string): Promise<readonly string[]> {
  const { output } = await ffmpeg('-i', marksPath, '-f', 'f32le', 'pipe:1');
  const count = output.length / Float32Array.BYTES_PER_ELEMENT;
  const all = Buffer.alloc(output.length * channels);
  for (let index = 0; index < count; index += 1) output.copy(all, (index * channels + 2) * 4, index * 4, index * 4 + 4);
  await writeFile(rawPath, all);
  // PCM gets no layout, so that no channel has a name; codecs need one.
  return ['-f', 'f32le', '-ar', '48000', '-ac', String(channels), '-i', rawPath];
}

function marksFrom(first: number, end: number): readonly ExpectedMark[] {
  return Array.from({ length: end - first }, (_, index) => ({
    mark: first + index,
    timeS: (first + index) * markSpacingS,
  }));
}

function shift(marks: readonly ExpectedMark[], byS: number): readonly ExpectedMark[] {
  return marks.map(({ mark, timeS }) => ({ mark, timeS: timeS + byS }));
}

/** How much later than written the marks of a file are when it is decoded to a WAV without any filter. */
async function measureDelayS(path: string, firstMark: number): Promise<number> {
  const decoded = `${path}.wav`;
  await ffmpeg('-i', path, '-map', '0:a:0', decoded);
  const { marks } = await readMarks(decoded);
  const delays = marks.map(({ mark, timeS }) => timeS - (mark - firstMark) * markSpacingS).toSorted((a, b) => a - b);
  return delays[delays.length >> 1] ?? 0;
}

/** Joins two halves of other rates and channels. */
async function writeJoined(
  { format }: SpeechCell,
  marksPath: string,
  name: (suffix: string) => string,
): Promise<readonly ExpectedMark[]> {
  const { encoder } = formatOf(format);
  const splitS = String(splitMark * markSpacingS);
  // Opus has one rate; a WAV that is appended to another one is read as its samples.
  const [first, second] =
    format === 'wav'
      ? [
          ['-ar', '48000'],
          ['-ar', '48000'],
        ]
      : [
          ['-ar', '24000', '-ac', '1'],
          ['-ar', '44100', '-ac', '2'],
        ];
  await ffmpeg('-t', splitS, '-i', marksPath, ...encoder, ...(first ?? []), name('-1'));
  await ffmpeg('-ss', splitS, '-i', marksPath, ...encoder, ...(second ?? []), name('-2'));
  await copyFile(name('-1'), name(''));
  await appendFile(name(''), await readFile(name('-2')));
  // A player plays the padding of the first part and the delay of the second one, as a decoder without filters does.
  await ffmpeg('-i', name(''), '-map', '0:a:0', '-ar', '48000', '-ac', '1', `${name('')}.wav`);
  const { marks } = await readMarks(`${name('')}.wav`);
  if (marks.length === markCount) return marks;
  const firstDelayS = await measureDelayS(name('-1'), 0);
  const secondDelayS = await measureDelayS(name('-2'), splitMark);
  const { lengthS } = await readMarks(`${name('-1')}.wav`);
  return [
    ...shift(marksFrom(0, splitMark), firstDelayS),
    ...shift(marksFrom(splitMark, markCount), lengthS + secondDelayS - splitMark * markSpacingS),
  ];
}

/** Writes to a pipe, where a muxer cannot come back to enter the length. */
async function writePiped({ format }: SpeechCell, marksPath: string, path: string): Promise<void> {
  const { encoder } = formatOf(format);
  const { output } = await ffmpeg('-i', marksPath, ...encoder, '-f', format, 'pipe:1');
  await appendFile(path, output);
}
