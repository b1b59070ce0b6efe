/**
 * Draws a contact sheet of a lip-synced video: moments of the mouth, before over after, above the sound they were
 * made for. Run: node scripts/contact-sheet.ts BEFORE AFTER OUT.png
 */
import { execFile } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { createCanvas, loadImage, type Image, type SKRSContext2D } from '@napi-rs/canvas';

const execute = promisify(execFile);
const COLUMNS = 8;
const BANDS = 2;
const CELL = { width: 220, height: 176 } as const;
const WAVE_HEIGHT = 84;
const GAP = 10;
const MARGIN = 26;
const BAND_HEIGHT = 2 * CELL.height + WAVE_HEIGHT + 2 * GAP;
const SOUND_RATE_HZ = 8000;
const LIMITS = { timeout: 60_000, maxBuffer: 1 << 28 };
const INK = { paper: '#14181c', cell: '#0c0f12', wave: '#7fc4b8', tick: '#f2b66d', text: '#c9d2d8' } as const;

type Moment = { readonly timeS: number; readonly before: Image; readonly after: Image };
type Region = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };

const [beforePath, afterPath, outputPath] = process.argv.slice(2);
if (beforePath === undefined || afterPath === undefined || outputPath === undefined) {
  process.stderr.write('usage: node scripts/contact-sheet.ts BEFORE AFTER OUT.png\n');
  process.exitCode = 2;
} else {
  await drawContactSheet(beforePath, afterPath, outputPath);
}

/**
 * Writes the sheet as PNG, aside and then renamed. A `before` shorter than `after` starts again, as the default
 * `loop` does. Throws when a video cannot be read.
 */
async function drawContactSheet(before: string, after: string, output: string): Promise<void> {
  const [beforeS, durationS] = await Promise.all([readDuration(before), readDuration(after)]);
  const moments: Moment[] = [];
  for (let index = 0; index < COLUMNS * BANDS; index++) {
    const timeS = ((index + 0.5) / (COLUMNS * BANDS)) * durationS;
    moments.push({ timeS, before: await grabFrame(before, timeS % beforeS), after: await grabFrame(after, timeS) });
  }
  const sound = await readSound(after);
  const canvas = createCanvas(2 * MARGIN + COLUMNS * CELL.width, 2 * MARGIN + BANDS * BAND_HEIGHT + (BANDS - 1) * 2 * GAP);
  const context = canvas.getContext('2d');
  context.fillStyle = INK.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  const region = findChangedRegion(moments);
  for (let band = 0; band < BANDS; band++) {
    context.save();
    context.translate(MARGIN, MARGIN + band * (BAND_HEIGHT + 2 * GAP));
    drawPictures(context, moments.slice(band * COLUMNS, (band + 1) * COLUMNS), region);
    context.translate(0, 2 * CELL.height + GAP);
    drawWave(context, sound.subarray((band / BANDS) * sound.length, ((band + 1) / BANDS) * sound.length));
    context.restore();
  }
  await writeFile(`${output}.part`, await canvas.encode('png'));
  await rename(`${output}.part`, output);
}

async function readDuration(path: string): Promise<number> {
  const { stdout } = await execute('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', path], LIMITS);
  const durationS = Number(stdout.trim());
  if (!(durationS > 0)) throw new Error(`${path} has no duration; give a video, not a still`);
  return durationS;
}

async function grabFrame(path: string, timeS: number): Promise<Image> {
  const { stdout } = await execute(
    'ffmpeg',
    ['-v', 'error', '-ss', timeS.toFixed(3), '-i', path, '-frames:v', '1', '-c:v', 'png', '-f', 'image2pipe', 'pipe:1'],
    { ...LIMITS, encoding: 'buffer' },
  );
  if (stdout.length === 0) throw new Error(`${path} has no frame at ${timeS.toFixed(3)} s`);
  return loadImage(stdout);
}

async function readSound(path: string): Promise<Float32Array> {
  const { stdout } = await execute(
    'ffmpeg', ['-v', 'error', '-i', path, '-vn', '-ac', '1', '-ar', String(SOUND_RATE_HZ), '-f', 'f32le', 'pipe:1'],
    { ...LIMITS, encoding: 'buffer' },
  );
  return new Float32Array(Uint8Array.from(stdout).buffer, 0, Math.floor(stdout.length / 4));
}

/** The part of the picture that the two videos differ in, with room around it; the whole picture when they are alike. */
function findChangedRegion(moments: readonly Moment[]): Region {
  const side = 96;
  const change = new Float64Array(side * side);
  for (const { before, after } of moments) {
    const [old, fresh] = [shrink(before, side), shrink(after, side)];
    for (let index = 0; index < change.length; index++) {
      change[index] = (change[index] ?? 0) + Math.abs((old[index * 4 + 1] ?? 0) - (fresh[index * 4 + 1] ?? 0));
    }
  }
  const [first] = moments;
  const { width = 1, height = 1 } = first?.after ?? {};
  const strongest = Math.max(...change);
  const changed = [...change.keys()].filter((index) => (change[index] ?? 0) > 0.3 * strongest);
  if (strongest < 2 * moments.length || changed.length === 0) return { x: 0, y: 0, width, height };
  const columns = changed.map((index) => index % side);
  const rows = changed.map((index) => Math.floor(index / side));
  return frameAround(
    [((Math.min(...columns) + Math.max(...columns) + 1) / 2 / side) * width, ((Math.min(...rows) + Math.max(...rows) + 1) / 2 / side) * height],
    [((Math.max(...columns) - Math.min(...columns) + 1) / side) * width, ((Math.max(...rows) - Math.min(...rows) + 1) / side) * height],
  );
}

/** A region of the cell's shape that shows about twice the size asked for. */
function frameAround([centreX, centreY]: readonly [number, number], [spanX, spanY]: readonly [number, number]): Region {
  const scale = Math.max((spanX * 1.9) / CELL.width, (spanY * 1.9) / CELL.height);
  const width = CELL.width * scale;
  const height = CELL.height * scale;
  return { x: centreX - width / 2, y: centreY - height / 2, width, height };
}

function shrink(image: Image, side: number): Uint8ClampedArray {
  const context = createCanvas(side, side).getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, side, side);
  return context.getImageData(0, 0, side, side).data;
}

function drawPictures(context: SKRSContext2D, moments: readonly Moment[], { x, y, width, height }: Region): void {
  for (const [column, { before, after, timeS }] of moments.entries()) {
    for (const [row, image] of [before, after].entries()) {
      const left = column * CELL.width + 2;
      const top = row * CELL.height + 2;
      context.fillStyle = INK.cell;
      context.fillRect(left, top, CELL.width - 4, CELL.height - 4);
      context.drawImage(image, x, y, width, height, left, top, CELL.width - 4, CELL.height - 4);
    }
    context.fillStyle = INK.text;
    context.font = '12px sans-serif';
    context.fillText(`${timeS.toFixed(2)} s`, column * CELL.width + 8, 2 * CELL.height - 9);
  }
  context.fillText('before', 8, 18);
  context.fillText('after', 8, CELL.height + 18);
}

/** The sound of one band; a tick marks the moment of the picture above it. */
function drawWave(context: SKRSContext2D, sound: Float32Array): void {
  const width = COLUMNS * CELL.width;
  const middle = WAVE_HEIGHT / 2;
  context.fillStyle = INK.cell;
  context.fillRect(2, 0, width - 4, WAVE_HEIGHT);
  context.fillStyle = INK.wave;
  for (let pixel = 2; pixel < width - 2; pixel++) {
    const stretch = sound.subarray((pixel / width) * sound.length, ((pixel + 1) / width) * sound.length);
    const peak = stretch.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    const reach = Math.max(0.5, Math.min(1, peak * 1.25) * (middle - 4));
    context.fillRect(pixel, middle - reach, 1, 2 * reach);
  }
  context.fillStyle = INK.tick;
  for (let column = 0; column < COLUMNS; column++) context.fillRect((column + 0.5) * CELL.width - 1, 0, 2, WAVE_HEIGHT);
}
