import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SoundFeed } from '../../packages/lipsync-core/src/quality/lips/sound-feed.ts';
import { measureVideoSpeech } from '../../packages/lipsync-core/src/quality/lips/video-speech.ts';
import { RenderResources } from '../../packages/lipsync-core/src/processes/render-task.ts';
import { readLips } from '../../packages/lipsync-core/src/testing/quality-controls.ts';

const execute = promisify(execFile);
const limitMs = 60 * 60_000;
/** Frame rates to which copies are converted; undefined keeps the own one. */
const rates = [undefined, '30000/1001', '30', '60'] as const;
const largestShiftFrames = 12;
/** Frames at 25 fps in milliseconds. */
const frameMs = 40;

/**
 * Shifts the sound of a clip by −12 … +12 frames, in copies at four frame rates, and measures the offset without a
 * network. The clip is SyncNet's example (sound 3 frames ahead) in LIPSYNC_TEST_CLIPS_DIR, or the sample.
 */
export async function proveSyncOffsets(): Promise<boolean> {
  const clips = process.env['LIPSYNC_TEST_CLIPS_DIR'];
  const sample = join(import.meta.dirname, '..', '..', 'samples', 'presenter.mp4');
  const clipPath = clips === undefined ? sample : join(clips, 'syncnet-example-offset-3.avi');
  const ownOffsetMs = clips === undefined ? 0 : 3 * frameMs;
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-offsets-'));
  const context = {
    signal: AbortSignal.timeout(limitMs),
    resources: new RenderResources(),
    onProgress: () => undefined,
  };
  const rows: Row[] = [];
  try {
    for (const rate of rates) {
      const videoPath = join(folder, `at-${(rate ?? 'own').replace('/', '-')}.mkv`);
      const filter = rate === undefined ? [] : ['-vf', `fps=${rate}`];
      await ffmpeg('-i', clipPath, ...filter, '-c:v', 'libx264', '-crf', '14', '-c:a', 'pcm_s16le', videoPath);
      const lips = await readLips({ videoPath, trackCacheFolder: join(folder, 'tracks'), workFolder: folder }, context);
      for (let shift = -largestShiftFrames; shift <= largestShiftFrames; shift += 1) {
        const soundPath = join(folder, 'sound.wav');
        await ffmpeg('-i', videoPath, '-vn', '-af', shiftFilter(shift * frameMs), soundPath);
        const sound = await SoundFeed.open(soundPath, context.signal);
        const speech = await measureVideoSpeech(sound, lips.facts, context);
        const { sync } = (await lips.judge('shifted', speech)).findings;
        const { offsetMs = null, strength = null, offsetIntervalMs = null } = sync ?? {};
        rows.push({
          rate: rate ?? 'own',
          truthMs: ownOffsetMs - shift * frameMs,
          offsetMs,
          strength,
          offsetIntervalMs,
        });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return report(rows);
}

interface Row {
  readonly rate: string;
  readonly truthMs: number;
  readonly offsetMs: number | null;
  readonly strength: number | null;
  readonly offsetIntervalMs: readonly [number, number] | null;
}

function report(rows: readonly Row[]): boolean {
  console.log('| rate | shifts | known | largest error, ms | strength | interval, ms | interval contains the truth |');
  console.log('|---|---|---|---|---|---|---|');
  for (const rate of new Set(rows.map((row) => row.rate)))
    console.log(
      rowOf(
        rate,
        rows.filter((row) => row.rate === rate),
      ),
    );
  const covered = rows.filter(isCovered).length;
  console.log(
    `\nThe interval contains the truth in ${covered} of ${rows.length} (${((100 * covered) / rows.length).toFixed(0)} %).`,
  );
  return covered >= 0.9 * rows.length && rows.every((row) => Math.abs(errorOf(row)) <= frameMs);
}

function rowOf(rate: string, rows: readonly Row[]): string {
  const known = rows.filter(({ offsetMs }) => offsetMs !== null);
  const strengths = rows.map(({ strength }) => strength ?? 0);
  const widths = known.map(({ offsetIntervalMs }) =>
    offsetIntervalMs ? offsetIntervalMs[1] - offsetIntervalMs[0] : 0,
  );
  const errors = known.map((row) => Math.abs(errorOf(row)));
  const cells = [
    rate,
    rows.length,
    known.length,
    Math.max(...errors),
    `${Math.min(...strengths).toFixed(2)}–${Math.max(...strengths).toFixed(2)}`,
    `${Math.min(...widths)}–${Math.max(...widths)} wide`,
    `${rows.filter(isCovered).length} of ${rows.length}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Infinite for an unknown offset. */
function errorOf({ offsetMs, truthMs }: Row): number {
  return offsetMs === null ? Infinity : offsetMs - truthMs;
}

function isCovered({ offsetIntervalMs, truthMs }: Row): boolean {
  return offsetIntervalMs !== null && offsetIntervalMs[0] <= truthMs && truthMs <= offsetIntervalMs[1];
}

function shiftFilter(delayMs: number): string {
  return delayMs >= 0 ? `adelay=${delayMs}:all=1` : `atrim=start=${-delayMs / 1000},asetpts=PTS-STARTPTS`;
}

async function ffmpeg(...args: readonly string[]): Promise<void> {
  await execute('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args]);
}
