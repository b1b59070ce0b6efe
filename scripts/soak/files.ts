import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getLipsyncService } from '@lipsync/core';
import { startHeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { clipCells, clipFaults, containerOf, findObstacle, writeClip, type ClipCell } from './files/clip-cells.ts';
import { makePlainTake, makePreviewTake, receiveVendorInputs, type CellInputs, type Outcome } from './files/measure.ts';
import { ffmpeg } from './files/media-tools.ts';
import { comparePicture, pictureCells, writePicture, type PictureCell } from './files/picture-cells.ts';
import { comparePictures, readNumbers, readRate, writeNumberedClip } from './files/numbered-clip.ts';
import { compareMarks, markCount, markSpacingS, readMarks, writeMarks } from './files/sound-marks.ts';
import { findSpeechObstacle, speechCells, speechFaults, writeSpeech, type SpeechCell } from './files/speech-cells.ts';

/** Largest errors against what a player shows and plays. */
const maxFrameError = 1.05;
const maxOffsetMs = 20;
/** A take may have one frame more or less than the clip. */
const maxFrameDifference = 1;
/** A wrong frame, tone or orientation is far below; a picture that was encoded twice is above. */
const leastPsnr = 33;
const leastRate = 20;

/** Files that all cells use. */
export interface FileSet {
  readonly folder: string;
  readonly numberedPath: string;
  readonly marksPath: string;
  readonly stillPath: string;
}

type Cell = ClipCell | SpeechCell | PictureCell;

export interface CellResult {
  readonly cell: Cell;
  readonly holds: boolean;
  /** For the table: what was measured, the reason of a refusal, or why the container cannot hold the cell. */
  readonly text: string;
  readonly figures?: object;
  /** What made the take: `plain`, `preview`, or `vendor` for what HeyGen receives. */
  readonly maker?: string;
}

export async function createFileSet(folder: string): Promise<FileSet> {
  const files = {
    folder,
    numberedPath: join(folder, 'numbered.mkv'),
    marksPath: join(folder, 'marks.wav'),
    stillPath: join(folder, 'still.png'),
  };
  await writeNumberedClip(files.numberedPath);
  await writeMarks(files.marksPath);
  await ffmpeg('-i', files.numberedPath, '-frames:v', '1', files.stillPath);
  return files;
}

type MakeTake = (inputs: CellInputs) => Promise<Outcome>;

/** Measures the take of one clip. */
export async function checkClip(cell: ClipCell, files: FileSet, makeTake: MakeTake): Promise<CellResult> {
  const obstacle = findObstacle(cell);
  if (obstacle !== undefined) return { cell, holds: true, text: `— ${obstacle}` };
  const clipPath = await writeClip(cell, files.numberedPath, files.folder);
  const source = await readNumbers(clipPath);
  const unread = source.filter(({ number }) => number === null).length;
  if (source.length === 0 || unread > source.length / 10)
    return { cell, holds: true, text: `— a player shows ${source.length - unread} of ${source.length} pictures` };
  const outcome = await makeTake({ clipPath, speechPath: files.marksPath, folder: files.folder });
  if (outcome.type === 'refused') return { cell, holds: false, text: `${outcome.code}: ${outcome.message}` };
  const take = await readNumbers(outcome.path);
  const rate = await readRate(outcome.path);
  const picture = comparePictures(take, source, rate);
  const sound = compareMarks(
    await readMarks(outcome.soundPath ?? outcome.path),
    allMarks.filter(({ timeS }) => timeS < take.length / rate - 0.1),
  );
  // The speech is shorter than the whole clip.
  const expected = Math.min(picture.expectedFrames, Math.round(markCount * markSpacingS * rate));
  const { warnings = [] } = outcome;
  const isTruncated = warnings.some((code) => code.endsWith('truncated'));
  const mustWarn = cell.fault === 'cut off' && containerOf(cell.container).declaresLength;
  const holds =
    picture.largestErrorFrames <= maxFrameError &&
    Math.abs(picture.frames - expected) <= maxFrameDifference &&
    Math.abs(sound.offsetMs) <= maxOffsetMs &&
    sound.missing.length === 0 &&
    (outcome.warnings === undefined || isTruncated === mustWarn);
  const text = [
    `${picture.frames} of ${expected} frames`,
    `±${picture.largestErrorFrames.toFixed(1)}`,
    `${sound.offsetMs.toFixed(0)} ms`,
    ...(sound.missing.length > 0 ? [`without marks ${sound.missing.join(' ')}`] : []),
    ...warnings,
  ].join(', ');
  return { cell, holds, text, figures: { rate, ...picture, expectedFrames: expected, ...sound, warnings } };
}

/** Measures the take of one speech recording. */
export async function checkSpeech(cell: SpeechCell, files: FileSet, makeTake: MakeTake): Promise<CellResult> {
  const obstacle = findSpeechObstacle(cell);
  if (obstacle !== undefined) return { cell, holds: true, text: `— ${obstacle}` };
  const written = await writeSpeech(cell, files.marksPath, files.folder);
  const outcome = await makeTake({ clipPath: files.stillPath, speechPath: written.path, folder: files.folder });
  if (outcome.type === 'refused') return { cell, holds: false, text: `${outcome.code}: ${outcome.message}` };
  const { warnings = [] } = outcome;
  const heard = await readMarks(outcome.soundPath ?? outcome.path);
  const error = compareMarks(heard, written.expected);
  const levelDb = error.levelDb - written.levelDb;
  const holds =
    Math.abs(error.offsetMs) <= maxOffsetMs &&
    Math.abs(levelDb) <= written.levelToleranceDb &&
    error.missing.length === 0 &&
    error.surplus.length === 0 &&
    !warnings.some((code) => code.endsWith('truncated'));
  const text = [
    `${heard.lengthS.toFixed(2)} s`,
    `${error.offsetMs.toFixed(0)} ms`,
    `${levelDb.toFixed(1)} dB`,
    ...(error.missing.length > 0 ? [`without marks ${error.missing.join(' ')}`] : []),
    ...(error.surplus.length > 0 ? [`marks ${error.surplus.join(' ')} too many`] : []),
    ...warnings,
  ].join(', ');
  return { cell, holds, text, figures: { lengthS: heard.lengthS, ...error, levelDb, warnings } };
}

/** Measures the picture that is made of one clip or still, e.g. for a vendor. */
export async function checkPicture(cell: PictureCell, files: FileSet, makeTake: MakeTake): Promise<CellResult> {
  const clipPath = await writePicture(cell, files, files.folder);
  const outcome = await makeTake({ clipPath, speechPath: files.marksPath, folder: files.folder });
  if (outcome.type === 'refused') return { cell, holds: false, text: `${outcome.code}: ${outcome.message}` };
  const received = await comparePicture(cell, outcome.path, files);
  const { width, height, rate, transfer, fieldOrder, psnr } = received;
  const holds =
    psnr >= leastPsnr && rate >= leastRate && /^(?:bt709|unknown|)$/.test(transfer) && !/^[tb]/.test(fieldOrder);
  const { warnings = [] } = outcome;
  const text = [`${psnr.toFixed(1)} dB`, `${width} × ${height}`, `${rate} fps`, transfer, fieldOrder, ...warnings].join(
    ', ',
  );
  return { cell, holds, text, figures: { ...received, warnings } };
}

const allMarks = Array.from({ length: markCount }, (_, mark) => ({ mark, timeS: mark * markSpacingS }));

/**
 * Makes a take of every clip and speech recording of two matrices (container, codec and fault; format and fault) and
 * compares it with what a player shows and plays. Sends pictures of several kinds to a vendor and compares what it
 * receives with what a viewer sees. `LIPSYNC_SOAK_CELLS` selects the cells whose name contains it;
 * `LIPSYNC_SOAK_REPORT` is the file of the JSON report.
 */
export async function proveFiles(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-files-'));
  const standin = await startHeygenStandin({ settings: { timescale: 1_000 } });
  // The stand-in returns the clip as it is, so its quality would be poor.
  Object.assign(process.env, standinEnvironment(standin), { LIPSYNC_QUALITY: 'off' });
  const service = getLipsyncService({ dataDir: join(folder, 'data') });
  try {
    const files = await createFileSet(folder);
    const results = await checkAll(files, [
      ['plain', makePlainTake],
      ['preview', (inputs) => makePreviewTake(inputs, service)],
      ['vendor', (inputs) => receiveVendorInputs(inputs, service, standin)],
    ]);
    printTable(
      'clip',
      results.filter(({ cell }) => 'container' in cell),
      clipFaults,
    );
    printTable(
      'speech',
      results.filter(({ cell }) => 'format' in cell),
      speechFaults,
    );
    printTable(
      'picture',
      results.filter(({ cell }) => 'picture' in cell),
      [receivedPicture],
    );
    const reportPath = process.env['LIPSYNC_SOAK_REPORT'];
    if (reportPath !== undefined) await writeFile(reportPath, `${JSON.stringify(results, undefined, 2)}\n`);
    const failed = results.filter(({ holds }) => !holds);
    console.log(
      `\n${results.length} cells, ${results.filter(({ text }) => text.startsWith('—')).length} that a container cannot hold, ${failed.length} wrong`,
    );
    for (const { cell, text } of failed) console.log(`- ${nameOf(cell)}: ${text}`);
    return failed.length === 0;
  } finally {
    await service.close();
    await standin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkAll(
  files: FileSet,
  makers: readonly (readonly [name: string, makeTake: MakeTake])[],
): Promise<readonly CellResult[]> {
  const wanted = process.env['LIPSYNC_SOAK_CELLS'] ?? '';
  const results: CellResult[] = [];
  for (const [index, cell] of [...clipCells, ...speechCells, ...pictureCells].entries()) {
    if (!nameOf(cell).includes(wanted)) continue;
    // Moves by one from row to row, so that each fault is tried with each maker.
    const turn = (index + Math.floor(index / clipFaults.length)) % makers.length;
    const [maker = '', makeTake = makePlainTake] = makers.at('picture' in cell ? -1 : turn) ?? [];
    const folder = await mkdtemp(join(files.folder, 'cell-'));
    await mkdir(folder, { recursive: true });
    const own = { ...files, folder };
    results.push({ ...(await checkCell(cell, own, makeTake)), maker });
    await rm(folder, { recursive: true, force: true });
    console.error(`${nameOf(cell)} (${maker}): ${results.at(-1)?.text}`);
  }
  return results;
}

function checkCell(cell: Cell, files: FileSet, makeTake: MakeTake): Promise<CellResult> {
  if ('container' in cell) return checkClip(cell, files, makeTake);
  return 'format' in cell ? checkSpeech(cell, files, makeTake) : checkPicture(cell, files, makeTake);
}

/** The only column of pictures. */
const receivedPicture = 'as HeyGen receives it';

function nameOf(cell: Cell): string {
  return `${'container' in cell ? 'clip' : 'format' in cell ? 'speech' : 'picture'} ${rowOf(cell)} ${columnOf(cell)}`;
}

function rowOf(cell: Cell): string {
  if ('container' in cell) return `${cell.container} ${cell.codec}`;
  return 'format' in cell ? cell.format : cell.picture;
}

function columnOf(cell: Cell): string {
  return 'fault' in cell ? cell.fault : receivedPicture;
}

function printTable(title: string, results: readonly CellResult[], columns: readonly string[]): void {
  console.log(`\n| ${title} | ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length + 1)}`);
  for (const row of new Set(results.map(({ cell }) => rowOf(cell)))) {
    const cells = columns.map((column) => {
      const result = results.find(({ cell }) => rowOf(cell) === row && columnOf(cell) === column);
      return result === undefined ? '' : `${result.holds ? '' : '**wrong** '}${result.text.replaceAll('|', '\\|')}`;
    });
    console.log(`| ${row} | ${cells.join(' | ')} |`);
  }
}
