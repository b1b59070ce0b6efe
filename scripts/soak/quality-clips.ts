import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { promisify } from 'node:util';
import { configFromEnvironment } from '@lipsync/core/config';
import type { Quality } from '@lipsync/core/contract';
import { startHeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import { createLipsyncService, type LipsyncService } from '../../packages/lipsync-core/src/service/lipsync-service.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { paceByReads } from './heygen-stack.ts';
import { samplePaths } from './scratch-stack.ts';

const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
/** Each speech is cut to this length. */
const speechSeconds = Number(process.env['QUALITY_SPEECH_SECONDS'] ?? 8);
const clipPattern = /\.(mp4|mov|avi|png|jpg)$/;
/** Takes that follow the speech: by the local renderer, and by the stand-in's own one. */
const takes = [
  { name: 'preview', method: 'preview' },
  { name: 'moving', method: 'heygen' },
] as const;

interface Pair {
  readonly clipPath: string;
  readonly speechPath: string;
}

/**
 * Renders every clip of `LIPSYNC_TEST_CLIPS_DIR`, and the sample, with every speech there, by `preview` and by the
 * stand-in with moving lips. None of these takes may be rejected. Clips without a usable face are listed.
 */
export async function proveQualityOfClips(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-quality-clips-'));
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, mouth: 'moving', maxConcurrent: 10 } });
  const host = createLocalHost(
    configFromEnvironment({
      ...standinEnvironment(standin),
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
    }),
  );
  const service = createLipsyncService(host);
  try {
    const pairs = await listPairs(folder);
    if (!clipsFolder) console.log('LIPSYNC_TEST_CLIPS_DIR is not set: only the sample is used.\n');
    console.log(
      '| clip | speech | take | rejected | offset, ms | strength | labels | s |\n|---|---|---|---|---|---|---|---|',
    );
    let [rendered, rejected] = [0, 0];
    for (const pair of pairs)
      for (const take of takes) {
        const outputPath = join(folder, `output-${rendered}-${take.name}.mp4`);
        const isRejected = await rate(service, { ...pair, outputPath, take });
        if (isRejected === undefined) continue;
        rendered += 1;
        if (isRejected) rejected += 1;
      }
    console.log(`\n${rejected} of ${rendered} takes were rejected.`);
    return rendered > 0 && rejected === 0;
  } finally {
    await service.close();
    await standin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Returns whether the take was rejected; undefined for inputs that no take can be made of. */
async function rate(
  service: LipsyncService,
  { clipPath, speechPath, outputPath, take }: Pair & { outputPath: string; take: (typeof takes)[number] },
): Promise<boolean | undefined> {
  const startedMs = performance.now();
  const name = `| ${basename(clipPath)} | ${basename(speechPath)} | ${take.name}`;
  try {
    const made = await service.generateLipsync({
      videoPath: clipPath,
      audioPath: speechPath,
      outputPath,
      method: take.method,
    });
    const isRejected = made.warnings.some(({ code }) => code === 'quality_below_request');
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    console.log(`${name} | ${isRejected ? 'yes' : 'no'} | ${describeQuality(made.quality)} | ${seconds} |`);
    return isRejected;
  } catch (error) {
    console.log(`${name} | no take: ${error instanceof Error ? error.message : String(error)} | | | | |`);
    return undefined;
  }
}

function describeQuality(quality: Quality | null): string {
  const { sync = null, labels = [] } = quality ?? {};
  const named = labels.map(({ code, value, fatal }) => `${code} ${value}${fatal ? ' (fatal)' : ''}`);
  return [sync?.offsetMs ?? '—', sync?.strength?.toFixed(2) ?? '—', named.join(', ')].join(' | ');
}

async function listPairs(folder: string): Promise<readonly Pair[]> {
  const names = clipsFolder ? await readdir(clipsFolder) : [];
  const paths = names.map((name) => join(clipsFolder ?? '', name));
  const clips = [samplePaths.videoPath, ...paths.filter((path) => clipPattern.test(path))];
  const speeches = clipsFolder ? paths.filter((path) => path.endsWith('.wav')) : [samplePaths.audioPath];
  const cut = await Promise.all(speeches.map((path) => cutSpeech(path, folder)));
  return clips.flatMap((clipPath) => cut.map((speechPath) => ({ clipPath, speechPath })));
}

async function cutSpeech(path: string, folder: string): Promise<string> {
  const cutPath = join(folder, `${basename(path, extname(path))}.wav`);
  const args = ['-nostdin', '-v', 'error', '-y', '-t', String(speechSeconds), '-i', path, cutPath];
  await promisify(execFile)('ffmpeg', args);
  return cutPath;
}
