import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RenderResources } from '../../packages/lipsync-core/src/processes/render-task.ts';
import { lipParts } from '../../packages/lipsync-core/src/quality/lips/lip-tables.ts';
import {
  controlClaims,
  measureControls,
  type Control,
} from '../../packages/lipsync-core/src/testing/quality-controls.ts';
import { ffmpeg } from './files/media-tools.ts';
import { samplePaths } from './scratch-stack.ts';

const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];

interface Subject {
  readonly name: string;
  readonly clipPath: string;
  readonly seconds: number;
}

const subjects: readonly Subject[] = [
  { name: 'sample', clipPath: samplePaths.videoPath, seconds: 5 },
  ...(clipsFolder
    ? [{ name: 'syncnet-example', clipPath: join(clipsFolder, 'syncnet-example-offset-3.avi'), seconds: 8 }]
    : []),
];

/**
 * Measures takes with known faults, of the sample and of SyncNet's example clip in `LIPSYNC_TEST_CLIPS_DIR`.
 * docs/quality.md has the resulting table. Each part must rate the faults that it claims to see lower than the good
 * take, or as unknown.
 */
export async function proveQualityControls(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-controls-'));
  const parts = Object.values(lipParts).map(({ name }) => name);
  let holds = true;
  try {
    for (const subject of subjects) {
      const controls = await measure(subject, join(folder, subject.name));
      console.log(`\n${subject.name}, ${subject.seconds} s\n`);
      console.log(
        `| take | offset, ms | ${parts.join(' | ')} | labels |\n|---|---|${parts.map(() => '---|').join('')}---|`,
      );
      for (const control of controls) console.log(describe(control, parts));
      holds = listMisses(controls).length === 0 && holds;
    }
    return holds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure({ clipPath, seconds }: Subject, folder: string): Promise<readonly Control[]> {
  await mkdir(folder);
  const cut = async (path: string, name: string, ...options: readonly string[]): Promise<string> => {
    const target = join(folder, name);
    await ffmpeg('-i', path, '-t', `${seconds}`, ...options, target);
    return target;
  };
  const encoding = ['-an', '-vf', 'scale=400:-2', '-c:v', 'libx264', '-preset', 'veryfast'];
  return measureControls({
    clipPath: await cut(clipPath, 'clip.mp4', ...encoding),
    speechPath: await cut(samplePaths.audioPath, 'speech.wav'),
    otherSpeechPath: await cut(samplePaths.videoPath, 'other.wav', '-vn'),
    folder,
    context: {
      signal: AbortSignal.timeout(60 * 60_000),
      resources: new RenderResources(),
      onProgress: () => undefined,
    },
  });
}

function describe({ name, findings, labels }: Control, parts: readonly string[]): string {
  const figures = parts.map((part) => figure(findings.parts?.[part]?.value ?? null));
  return `| ${[name, findings.sync?.offsetMs ?? 'null', ...figures, labels.join(', ')].join(' | ')} |`;
}

function figure(value: number | null): string {
  return value === null ? 'null' : String(Number(value.toFixed(Math.abs(value) < 0.1 ? 3 : 2)));
}

/** Faults that a part claims to see and does not rate lower. Prints them. */
function listMisses(controls: readonly Control[]): readonly string[] {
  const scoreOf = (name: string, part: string): number | null =>
    controls.find((control) => control.name === name)?.findings.parts?.[part]?.score ?? null;
  const misses = controlClaims.flatMap(({ part, faults }) =>
    faults.flatMap((fault) => {
      const score = scoreOf(fault, part);
      return score !== null && score >= (scoreOf('preview', part) ?? 0.5) ? [`${part} does not see: ${fault}.`] : [];
    }),
  );
  for (const miss of misses) console.log(miss);
  return misses;
}
