/**
 * `node scripts/contact-sheet.ts BEFORE AFTER OUT.jpg`: draws the mouth before and after lip-sync at several times,
 * above the waveform of the speech.
 */
import { execFile } from 'node:child_process';
import { rename, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { createCanvas, loadImage, type Image, type SKRSContext2D } from '@napi-rs/canvas';
import { createFaceDetector, type FaceDetector } from '../packages/lipsync-core/src/face/index.ts';

const execute = promisify(execFile);
const COLUMNS = 8;
const BANDS = 2;
const CELL = { width: 220, height: 176 } as const;
const WAVE_HEIGHT = 84;
const GAP = 10;
const MARGIN = 26;
const JPEG_QUALITY = 82;
const BAND_HEIGHT = 2 * CELL.height + WAVE_HEIGHT + 2 * GAP;
const SOUND_RATE_HZ = 8000;
const LIMITS = { timeout: 60_000, maxBuffer: 1 << 28 };
const INK = { paper: '#14181c', cell: '#0c0f12', wave: '#7fc4b8', tick: '#f2b66d', text: '#c9d2d8' } as const;

type Region = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
type Moment = { readonly timeS: number; readonly before: Image; readonly after: Image; readonly mouth: Region };

const [beforePath, afterPath, outputPath] = process.argv.slice(2);
if (beforePath === undefined || afterPath === undefined || outputPath === undefined) {
  process.stderr.write('usage: node scripts/contact-sheet.ts BEFORE AFTER OUT.jpg\n');
  process.exitCode = 2;
} else {
  await drawContactSheet(beforePath, afterPath, outputPath);
}

/**
 * Writes the sheet as PNG or JPEG, by its extension; written to a partial file first, then renamed. A `before` shorter
 * than `after` repeats, as with `sync_mode` loop. Throws when a video cannot be read.
 */
async function drawContactSheet(before: string, after: string, output: string): Promise<void> {
  const [beforeS, durationS] = await Promise.all([readDuration(before), readDuration(after)]);
  const times = Array.from({ length: COLUMNS * BANDS }, (_, index) => ((index + 0.5) / (COLUMNS * BANDS)) * durationS);
  const detector = await createFaceDetector();
  const moments: Moment[] = [];
  try {
    for (const timeS of times) {
      const [beforeFrame, afterFrame] = await Promise.all([
        grabFrame(before, timeS % beforeS),
        grabFrame(after, timeS),
      ]);
      moments.push({
        timeS,
        before: beforeFrame,
        after: afterFrame,
        mouth: await findMouthRegion(detector, afterFrame),
      });
    }
  } finally {
    await detector.close();
  }
  await writeSheet(output, moments, await readSound(after));
}

async function writeSheet(output: string, moments: readonly Moment[], sound: Float32Array): Promise<void> {
  const canvas = createCanvas(
    2 * MARGIN + COLUMNS * CELL.width,
    2 * MARGIN + BANDS * BAND_HEIGHT + (BANDS - 1) * 2 * GAP,
  );
  const context = canvas.getContext('2d');
  context.fillStyle = INK.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (let band = 0; band < BANDS; band++) {
    context.save();
    context.translate(MARGIN, MARGIN + band * (BAND_HEIGHT + 2 * GAP));
    drawPictures(context, moments.slice(band * COLUMNS, (band + 1) * COLUMNS));
    context.translate(0, 2 * CELL.height + GAP);
    drawWave(context, sound.subarray((band / BANDS) * sound.length, ((band + 1) / BANDS) * sound.length));
    context.restore();
  }
  await writeFile(
    `${output}.part`,
    await (output.endsWith('.png') ? canvas.encode('png') : canvas.encode('jpeg', JPEG_QUALITY)),
  );
  await rename(`${output}.part`, output);
}

async function readDuration(path: string): Promise<number> {
  const { stdout } = await execute(
    'ffprobe',
    ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', path],
    LIMITS,
  );
  const durationS = Number(stdout.trim());
  if (!(durationS > 0)) throw new Error(`${path} has no duration. A video is required, not a still.`);
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
    'ffmpeg',
    ['-v', 'error', '-i', path, '-vn', '-ac', '1', '-ar', String(SOUND_RATE_HZ), '-f', 'f32le', 'pipe:1'],
    { ...LIMITS, encoding: 'buffer' },
  );
  return new Float32Array(Uint8Array.from(stdout).buffer, 0, Math.floor(stdout.length / 4));
}

/**
 * The lower part of the face with the highest score, with the aspect ratio of a cell; the whole picture without a face.
 * Both rows show the same region, because lip-sync does not move the head.
 */
async function findMouthRegion(detector: FaceDetector, image: Image): Promise<Region> {
  const { width, height } = image;
  const context = createCanvas(width, height).getContext('2d');
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = Uint8Array.from(
    { length: width * height * 3 },
    (_, index) => rgba[Math.floor(index / 3) * 4 + (index % 3)] ?? 0,
  );
  const [face] = (await detector.detect(rgb, width, height)).toSorted((one, other) => other.score - one.score);
  if (face === undefined) return { x: 0, y: 0, width, height };
  const shownWidth = 1.05 * face.width;
  const shownHeight = (shownWidth * CELL.height) / CELL.width;
  return {
    x: face.x + face.width / 2 - shownWidth / 2,
    y: face.y + 0.72 * face.height - shownHeight / 2,
    width: shownWidth,
    height: shownHeight,
  };
}

function drawPictures(context: SKRSContext2D, moments: readonly Moment[]): void {
  for (const [
    column,
    {
      before,
      after,
      timeS,
      mouth: { x, y, width, height },
    },
  ] of moments.entries()) {
    for (const [row, image] of [before, after].entries()) {
      const left = column * CELL.width + 2;
      const top = row * CELL.height + 2;
      context.fillStyle = INK.cell;
      context.fillRect(left, top, CELL.width - 4, CELL.height - 4);
      context.drawImage(image, x, y, width, height, left, top, CELL.width - 4, CELL.height - 4);
    }
    drawLabel(context, `${timeS.toFixed(2)} s`, column * CELL.width + 2, 2 * CELL.height - 22);
  }
  drawLabel(context, 'before', 2, 2);
  drawLabel(context, 'after', 2, CELL.height + 2);
}

function drawLabel(context: SKRSContext2D, text: string, left: number, top: number): void {
  context.font = '12px sans-serif';
  context.fillStyle = INK.cell;
  context.fillRect(left, top, context.measureText(text).width + 14, 20);
  context.fillStyle = INK.text;
  context.fillText(text, left + 7, top + 14);
}

/** Draws the waveform of one band; a tick marks the time of the picture above it. */
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
