/**
 * `node scripts/sample/make-sample.ts`: makes samples/presenter.mp4, samples/presenter.png and samples/speech.wav.
 * Requires espeak-ng and ffmpeg.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createCanvas, type Canvas } from '@napi-rs/canvas';
import type { Pose } from './face-space.ts';
import { encodeFilm } from './film.ts';
import { performVoice } from './motion.ts';
import { createPresenter } from './presenter.ts';
import { FRAME } from './studio.ts';
import { computeVoiceFrames, readWav, speak, type Voice } from './voice.ts';

const FRAMES_PER_SECOND = 25;
const STILL_AT_FRAME = 110;
const PORTRAIT = { width: 640, height: 720 } as const;
const SAMPLES_FOLDER = path.resolve(import.meta.dirname, '../../samples');

const CLIP_VOICE: Voice = {
  name: 'en-us+female3',
  wordsPerMinute: 148,
  pitch: 46,
  text: 'Hello! I was drawn by a program, and so was this room. <break time="1000ms"/> Lend me your words, and I will say them.',
};

const SPEECH_VOICE: Voice = {
  name: 'en-gb+female2',
  wordsPerMinute: 150,
  pitch: 40,
  text: 'These are not the words I was filmed with. Somebody else wrote them, and my mouth follows every one of them.',
};

await makeSample();

async function makeSample(): Promise<void> {
  const workFolder = await mkdtemp(path.join(tmpdir(), 'presenter-'));
  try {
    const rawPath = path.join(workFolder, 'raw.wav');
    const clipVoicePath = path.join(workFolder, 'clip-voice.wav');
    await speak(SPEECH_VOICE, rawPath, path.join(SAMPLES_FOLDER, 'speech.wav'));
    await speak(CLIP_VOICE, rawPath, clipVoicePath);
    await film(clipVoicePath);
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

async function film(soundPath: string): Promise<void> {
  const sound = await readWav(soundPath);
  const frameCount = Math.ceil((sound.samples.length / sound.sampleRateHz) * FRAMES_PER_SECOND);
  const poses = performVoice(computeVoiceFrames(sound, frameCount, FRAMES_PER_SECOND), FRAMES_PER_SECOND);
  const draw = createPresenter();
  const still = poses[STILL_AT_FRAME];
  if (still !== undefined)
    await writeFile(path.join(SAMPLES_FOLDER, 'presenter.png'), await cropPortrait(draw(still)).encode('png'));
  await encodeFilm(
    { framesPerSecond: FRAMES_PER_SECOND, ...FRAME, soundPath, outputPath: path.join(SAMPLES_FOLDER, 'presenter.mp4') },
    drawAll(poses, draw),
  );
}

function cropPortrait(frame: Canvas): Canvas {
  const portrait = createCanvas(PORTRAIT.width, PORTRAIT.height);
  portrait.getContext('2d').drawImage(frame, -(FRAME.width - PORTRAIT.width) / 2, 0);
  return portrait;
}

function* drawAll(poses: readonly Pose[], draw: (pose: Pose) => Canvas): Generator<Canvas> {
  for (const [index, pose] of poses.entries()) {
    if (index % FRAMES_PER_SECOND === 0) process.stderr.write(`drawing frame ${index} of ${poses.length}\n`);
    yield draw(pose);
  }
}
