import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configFromEnvironment, type CoreConfig } from '../../packages/lipsync-core/src/config.ts';
import { compareVideo } from '../../packages/lipsync-core/src/fingerprint/compare.ts';
import {
  unpackFingerprint,
  type UnpackedFingerprint,
} from '../../packages/lipsync-core/src/fingerprint/fingerprint.ts';
import { FingerprintSearch } from '../../packages/lipsync-core/src/fingerprint/fingerprint-search.ts';
import { FingerprintStore } from '../../packages/lipsync-core/src/fingerprint/fingerprint-store.ts';
import { judgeSimilarity, type FoundOutput } from '../../packages/lipsync-core/src/fingerprint/verdict.ts';
import { readVideoQuery } from '../../packages/lipsync-core/src/fingerprint/video-query.ts';
import { createLocalHost } from '../../packages/lipsync-core/src/service/get-lipsync-service.ts';
import { openLocalState } from '../../packages/lipsync-core/src/service/local-state.ts';
import { createOriginVerifier } from '../../packages/lipsync-core/src/service/origin-verifier.ts';
import { lipsyncOptionsSchema } from '../../packages/lipsync-core/src/contract/index.ts';
import { ffmpeg, ffprobe } from './files/media-tools.ts';
import { samplePaths } from './scratch-stack.ts';

const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const clipSeconds = 4;
const takeCount = 10;
const segmentCount = 200;
const segmentSeconds = 2;
const encoding = ['-c:v', 'libx264', '-preset', 'veryfast'] as const;

/** What is done to an output; docs/measurements.md has the similarities. */
const changes: Readonly<Record<string, readonly string[]>> = {
  '`ffmpeg -c copy`': ['-c', 'copy'],
  'half size, sound at 64 kbit/s': ['-vf', 'scale=trunc(iw/4)*2:-2', '-b:a', '64k', ...encoding],
  'crop of 10 %, middle': ['-vf', 'crop=trunc(iw*0.45)*2:trunc(ih*0.45)*2', ...encoding],
  'crop of 10 %, corner': ['-vf', 'crop=trunc(iw*0.45)*2:trunc(ih*0.45)*2:0:0', ...encoding],
  'border of 10 %': ['-vf', 'pad=trunc(iw*0.6)*2:trunc(ih*0.6)*2:(ow-iw)/2:(oh-ih)/2', ...encoding],
  'CRF 35, sound at 48 kbit/s': ['-crf', '35', '-b:a', '48k', ...encoding],
  '30 frames per second': ['-r', '30', ...encoding],
  'first second cut': ['-ss', '1.03', ...encoding],
  'brighter, more contrast': ['-vf', 'eq=brightness=0.08:contrast=1.2', ...encoding],
  'without sound': ['-an', '-c:v', 'copy'],
};

interface Subject {
  readonly name: string;
  readonly path: string;
}

const clips: readonly Subject[] = [
  { name: 'sample', path: samplePaths.videoPath },
  ...(clipsFolder
    ? ['talk-844x844-25fps.mp4', 'talk-700x700-30fps.mp4', 'portrait-1080x1920-hevc-25fps.mp4'].map((name) => ({
        name,
        path: join(clipsFolder, name),
      }))
    : []),
];
const longSpeech = clipsFolder ? join(clipsFolder, 'speech-long.wav') : samplePaths.audioPath;
const { signal } = new AbortController();
const caller = { signal, mayAccess: () => true };

/**
 * Finds copies of outputs of the sample, and of a clip in `LIPSYNC_TEST_CLIPS_DIR`, by their fingerprints. Controls: the
 * clip, ten other takes of it, and 200 segments of all clips. None of them may be reported as an output.
 */
export async function proveFingerprints(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-fingerprints-'));
  try {
    const subjects = await Promise.all(clips.slice(0, 2).map((clip) => shorten(clip, folder)));
    const config = configOf(join(folder, 'data'));
    await renderAll(
      config,
      subjects.map((subject) => ({ ...subject, speech: samplePaths.audioPath, output: outputOf(folder, subject) })),
    );
    const state = openLocalState(config);
    try {
      const verifier = createOriginVerifier(config, { state });
      const store = new FingerprintStore({ state });
      const found = await findCopies(subjects, folder, (path) => verifier.verify(path, caller));
      const controls = await findControls(subjects.at(-1), folder, new FingerprintSearch({ store, limits: config }));
      const segments = await findSegments(folder, await readAll(store));
      return found && controls && segments;
    } finally {
      await state.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function configOf(dataDir: string, change: Partial<CoreConfig> = {}): CoreConfig {
  return { ...configFromEnvironment(), dataDir, ...change };
}

function outputOf(folder: string, { name }: Subject): string {
  return join(folder, `output-of-${name}.mp4`);
}

async function shorten({ name, path }: Subject, folder: string): Promise<Subject> {
  const target = join(folder, `clip-${name}.mp4`);
  await ffmpeg('-i', path, '-t', `${clipSeconds}`, '-vf', 'scale=480:-2', ...encoding, target);
  return { name, path: target };
}

interface Take extends Subject {
  readonly speech: string;
  readonly output: string;
}

/** Renders previews, two at once; their fingerprints are in the data folder of the configuration. */
async function renderAll(config: CoreConfig, takes: readonly Take[]): Promise<void> {
  const host = createLocalHost(config);
  const options = lipsyncOptionsSchema.parse({ method: 'preview' });
  try {
    await inParallel(takes, async ({ path: videoPath, speech: audioPath, output: outputPath }) => {
      const { error } = await host.localJobs.run({ videoPath, audioPath, outputPath, overwrite: true, options });
      if (error) throw error;
    });
  } finally {
    await host.close();
  }
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item, worker: number) => Promise<void>) {
  const run = async (worker: number): Promise<void> => {
    for (const item of items.filter((_, index) => index % 2 === worker)) await work(item, worker);
  };
  await Promise.all([run(0), run(1)]);
}

async function readAll(store: FingerprintStore): Promise<readonly UnpackedFingerprint[]> {
  const outputs: UnpackedFingerprint[] = [];
  for await (const page of store.listKeys())
    for (const { jobId } of page) outputs.push(unpackFingerprint((await store.find(jobId)) ?? ''));
  return outputs;
}

type Verify = (path: string) => ReturnType<ReturnType<typeof createOriginVerifier>['verify']>;

async function findCopies(subjects: readonly Subject[], folder: string, verify: Verify): Promise<boolean> {
  console.log('| clip | change | mark | fingerprint | picture | sound | mouth | offset, ms |');
  console.log('|---|---|---|---|---|---|---|---|');
  let holds = true;
  for (const subject of subjects) {
    for (const [name, change] of Object.entries(changes)) {
      const copy = join(folder, 'copy.mp4');
      await ffmpeg('-i', outputOf(folder, subject), ...change, copy);
      const { state, fingerprint } = await verify(copy);
      const { match = null, picture, sound, mouth, offset_ms: offsetMs } = fingerprint ?? {};
      console.log(`| ${[subject.name, name, state, match, picture, sound, mouth, offsetMs].join(' | ')} |`);
      holds = match === 'output' && holds;
    }
  }
  return holds;
}

/** The clip itself, the clip under the speech of the output, and other takes of it. */
async function findControls(subject: Subject | undefined, folder: string, search: FingerprintSearch): Promise<boolean> {
  if (!subject) return false;
  const config = configOf(join(folder, 'other-data'), {
    qualityEnabled: false,
    marking: { ...configFromEnvironment().marking, isEnabled: false },
  });
  const found: (FoundOutput | null)[] = [(await search.find(subject.path, caller)).found];
  const dubbed = join(folder, 'dubbed.mp4');
  const inputs = ['-i', subject.path, '-i', outputOf(folder, subject)];
  await ffmpeg(...inputs, '-map', '0:v', '-map', '1:a', '-c', 'copy', '-shortest', dubbed);
  const dub = (await search.find(dubbed, caller)).found;
  const step = Number(await ffprobe('-show_entries', 'format=duration', longSpeech)) / (takeCount + 1);
  const takes = Array.from({ length: takeCount }, (_, index): Take => {
    return { ...subject, speech: join(folder, `speech-${index}.wav`), output: join(folder, `take-${index}.mp4`) };
  });
  for (const [index, { speech }] of takes.entries())
    await ffmpeg('-ss', `${step * (index + 0.5)}`, '-i', longSpeech, '-t', `${clipSeconds}`, speech);
  await renderAll(config, takes);
  for (const { output } of takes) found.push((await search.find(output, caller)).found);
  console.log(`\n| control of ${subject.name} | result | highest sound | highest mouth |\n|---|---|---|---|`);
  for (const [name, group] of [
    ['the clip', found.slice(0, 1)],
    ['the clip under the speech of the output', [dub]],
    [`${takeCount} other takes`, found.slice(1)],
  ] as const) {
    const results = [...new Set(group.map((one) => one?.match ?? 'none'))].join(', ');
    const highest = (values: readonly (number | null | undefined)[]) => Math.max(...values.map((value) => value ?? 0));
    const [sound, mouth] = [highest(group.map((one) => one?.sound)), highest(group.map((one) => one?.mouth))];
    console.log(`| ${[name, results, sound, mouth].join(' | ')} |`);
  }
  return found.every((one) => one?.match === 'same_picture_other_sound') && dub?.match === 'same_picture_and_sound';
}

/** Segments of all clips, each compared with every output. */
async function findSegments(folder: string, outputs: readonly UnpackedFingerprint[]): Promise<boolean> {
  const counts = new Map<string, number>();
  const highest = { picture: 0, sound: 0 };
  const cuts = await listCuts();
  await inParallel(cuts, async ({ clip, startS }, worker) => {
    const segment = join(folder, `segment-${worker}.mp4`);
    const cut = ['-ss', `${startS}`, '-i', clip.path, '-t', `${segmentSeconds}`, '-vf', 'scale=320:-2'];
    await ffmpeg(...cut, ...encoding, segment);
    const query = await readVideoQuery(segment, { limits: configFromEnvironment(), signal });
    for (const output of outputs) {
      const similarity = compareVideo(query, output);
      const match = judgeSimilarity(similarity) ?? 'none';
      counts.set(match, (counts.get(match) ?? 0) + 1);
      highest.sound = Math.max(highest.sound, similarity.sound ?? 0);
      if (match === 'none') highest.picture = Math.max(highest.picture, similarity.picture);
    }
  });
  const listed = [...counts].map(([match, count]) => `${match} ${count}`).join(', ');
  console.log(`\n${cuts.length} segments of ${segmentSeconds} s, each with ${outputs.length} outputs: ${listed};`);
  console.log(`highest sound ${highest.sound}, highest picture without a match ${highest.picture}`);
  return cuts.length === segmentCount && !counts.has('output') && !counts.has('same_picture_and_sound');
}

/** Starts of segments, evenly spread over the clips. */
async function listCuts(): Promise<readonly { readonly clip: Subject; readonly startS: number }[]> {
  const cuts: { readonly clip: Subject; readonly startS: number }[] = [];
  for (const [index, clip] of clips.entries()) {
    const seconds = Number(await ffprobe('-show_entries', 'format=duration', clip.path));
    const count = Math.floor(((index + 1) * segmentCount) / clips.length) - cuts.length;
    for (let cut = 0; cut < count; cut += 1) cuts.push({ clip, startS: (cut * (seconds - segmentSeconds)) / count });
  }
  return cuts;
}
