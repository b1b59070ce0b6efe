import { join } from 'node:path';
import { ffmpeg, ffprobe } from './media-tools.ts';

/**
 * Pictures with their number painted as blocks, and a reader of these numbers that shares nothing with the filters of
 * the service: every frame is decoded on its own and has the time of the container.
 */

const presenter = join(import.meta.dirname, '..', '..', '..', 'samples', 'presenter.mp4');
const bits = 8;
/** A white block, a black one and the bits, each a tenth of the width, in the lowest ninth of the picture. */
const blocks = bits + 2;

export const frameRate = 25;
export const frameCount = 100;
export const frameSize = { width: 320, height: 180 } as const;

/** Writes the first four seconds of the sample presenter, without loss and with the number of each frame painted in it. */
export async function writeNumberedClip(path: string): Promise<void> {
  const { width, height } = frameSize;
  const side = width / blocks;
  const box = (x: number, boxWidth: number, color: string): string =>
    `drawbox=x=${x}:y=${(height * 8) / 9}:w=${boxWidth}:h=${height / 9}:color=${color}:t=fill`;
  const numbers = Array.from(
    { length: bits },
    (_, bit) => `${box(side * (bit + 2), side, 'white')}:enable='mod(floor(n/${2 ** bit})\\,2)'`,
  );
  const filters = [
    `scale=${width}:${height}`,
    `trim=end_frame=${frameCount}`,
    box(0, width, 'black'),
    box(0, side, 'white'),
  ];
  await ffmpeg('-i', presenter, '-an', '-vf', [...filters, ...numbers].join(','), '-c:v', 'ffv1', path);
}

/** A shown picture: when, in seconds of the container, and which; null when its number cannot be read. */
export interface ShownPicture {
  readonly timeS: number;
  readonly number: number | null;
}

/** Decodes one frame after the other and reads times and numbers, in the order in which a player shows them. */
export async function readNumbers(path: string): Promise<readonly ShownPicture[]> {
  const shape = { width: blocks * 8, height: 72 };
  const { output, log } = await ffmpeg(
    '-copyts',
    '-i',
    path,
    '-map',
    '0:v:0',
    '-fps_mode',
    'passthrough',
    '-vf',
    `showinfo,scale=${shape.width}:${shape.height}:flags=area,format=gray`,
    '-f',
    'rawvideo',
    'pipe:1',
  );
  const times = [...log.matchAll(/\bn: *\d+ pts: *\S+ pts_time:(\S+)/g)].map(([, time]) => Number(time));
  const size = shape.width * shape.height;
  return times.slice(0, Math.floor(output.length / size)).map((timeS, index) => ({
    timeS,
    number: readNumber(output.subarray(index * size, (index + 1) * size), shape),
  }));
}

function readNumber(
  picture: Buffer,
  { width, height }: { readonly width: number; readonly height: number },
): number | null {
  const row = Math.round((height * 17) / 18);
  const values = Array.from({ length: blocks }, (_, block) => picture[row * width + block * 8 + 4] ?? 0);
  const [white = 0, black = 0, ...levels] = values;
  if (white - black < 80) return null;
  return levels.reduce((sum, level, bit) => (level > (white + black) / 2 ? sum + 2 ** bit : sum), 0);
}

/** A jump of the clock by more than this, or back, is a join: the next part follows at once. */
const largestHoleS = 10;

/** What a player shows from its first picture on: clock restarts and jumps removed, holes kept. */
function layOut(shown: readonly ShownPicture[]): readonly ShownPicture[] {
  let offsetS = -(shown[0]?.timeS ?? 0);
  let previousS = 0;
  return shown.map(({ timeS, number }) => {
    const stepS = timeS + offsetS - previousS;
    if (stepS < -1 / frameRate || stepS > largestHoleS) offsetS += 1 / frameRate - stepS;
    previousS = timeS + offsetS;
    return { timeS: previousS, number };
  });
}

export interface PictureError {
  /** Output frames, and those that the container shows at the same rate. */
  readonly frames: number;
  readonly expectedFrames: number;
  /** Largest distance between an output frame and the time in which the player shows its picture, in frames. */
  readonly largestErrorFrames: number;
}

/** Compares each frame of a take with the picture that a player shows at its time. */
export function comparePictures(
  take: readonly ShownPicture[],
  source: readonly ShownPicture[],
  rate: number,
): PictureError {
  const shown = layOut(source);
  const endS = (shown.at(-1)?.timeS ?? 0) + 1 / frameRate;
  const intervals = shown.map(({ timeS, number }, index) => ({
    number,
    startS: timeS,
    endS: shown[index + 1]?.timeS ?? endS,
  }));
  const errors = take.map(({ number }, index) => {
    const distancesS = intervals
      .filter((interval) => interval.number === number)
      .map(({ startS, endS: untilS }) => Math.max(0, startS - index / rate, index / rate - untilS));
    return Math.min(...distancesS) * rate;
  });
  return {
    frames: take.length,
    expectedFrames: Math.round(endS * rate),
    largestErrorFrames: Math.max(0, ...errors),
  };
}

/** Frames per second of the picture of a file, as its container states them. */
export async function readRate(path: string): Promise<number> {
  const [numerator = 0, denominator = 1] = (
    await ffprobe('-select_streams', 'v:0', '-show_entries', 'stream=r_frame_rate', path)
  )
    .split('/')
    .map(Number.parseFloat);
  return numerator / denominator;
}
