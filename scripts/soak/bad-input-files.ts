import { execFile } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeFloatWav } from '../../packages/lipsync-core/src/testing/synthetic-inputs.ts';
import { samplePaths } from './scratch-stack.ts';

export interface BadInput {
  readonly name: string;
  /** Default: the sample clip. */
  readonly video?: string;
  /** Default: the sample speech. */
  readonly audio?: string;
  /** File name of the uploaded video. */
  readonly fileName?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** Code of the problem or of the warning; `completed` when the job succeeds without a warning. */
  readonly expected: string;
}

/** Writes one file for each kind of bad input into `folder`. */
export async function makeBadInputs(folder: string, maxUploadBytes: number): Promise<BadInput[]> {
  return [
    ...(await makeUnusableFiles(folder)),
    ...(await makeUnusualContents(folder)),
    ...(await makeBadRequests(folder, maxUploadBytes)),
  ];
}

const fast = ['-preset', 'ultrafast'];
const lavfi = (filter: string): string[] => ['-f', 'lavfi', '-i', filter];

/** Functions that write a file into `folder` and return its path. */
function fileWriters(folder: string) {
  const at = (name: string): string => join(folder, name);
  const ffmpeg = async (name: string, ...args: string[]): Promise<string> => {
    await promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args, at(name)]);
    return at(name);
  };
  const write = async (name: string, content: string | Uint8Array): Promise<string> => {
    await writeFile(at(name), content);
    return at(name);
  };
  return { ffmpeg, write };
}

/** Files of which the container, the streams or the size make a job impossible. */
async function makeUnusableFiles(folder: string): Promise<BadInput[]> {
  const { ffmpeg, write } = fileWriters(folder);
  const sample = await readFile(samplePaths.videoPath);
  return [
    { name: 'an empty file', video: await write('empty.mp4', ''), expected: 'request_invalid' },
    {
      name: 'text named .mp4',
      video: await write('text.mp4', 'This is not a video.\n'.repeat(100)),
      expected: 'clip_unusable',
    },
    {
      name: 'a truncated mp4',
      video: await write('cut.mp4', sample.subarray(0, sample.length / 2)),
      expected: 'clip_unusable',
    },
    {
      name: 'a video without a video stream',
      video: await ffmpeg('sound-only.mp4', ...lavfi('sine=duration=2')),
      expected: 'clip_unusable',
    },
    {
      name: 'an audio without an audio stream',
      audio: await ffmpeg('mute.mp4', ...lavfi('testsrc2=duration=1:size=128x128'), ...fast),
      expected: 'speech_unusable',
    },
    { name: 'text named .wav', audio: await write('text.wav', 'hello'), expected: 'speech_unusable' },
    {
      name: 'a one-pixel video',
      video: await ffmpeg(
        'pixel.avi',
        ...lavfi('testsrc=duration=1:size=16x16'),
        '-vf',
        'scale=1:1',
        '-c:v',
        'ffv1',
        '-pix_fmt',
        'bgr0',
      ),
      expected: 'clip_unusable',
    },
    {
      name: 'a video 16 384 pixels wide',
      video: await ffmpeg(
        'wide.avi',
        ...lavfi('color=duration=0.1:size=16384x64'),
        '-c:v',
        'mjpeg',
        '-pix_fmt',
        'yuvj420p',
      ),
      expected: 'clip_unusable',
    },
    {
      name: 'speech audio of length 0',
      audio: await ffmpeg('nothing.wav', ...lavfi('anullsrc'), '-t', '0'),
      expected: 'speech_unusable',
    },
    {
      name: 'a clip of ten hours',
      video: await ffmpeg('long.mp4', ...lavfi('color=size=64x64:rate=1:duration=36000'), ...fast),
      expected: 'clip_unusable',
    },
  ];
}

/** Files that can be read, with unusual pictures or sound. */
async function makeUnusualContents(folder: string): Promise<BadInput[]> {
  const { ffmpeg } = fileWriters(folder);
  return [
    {
      name: 'no face in any frame',
      video: await ffmpeg('no-face.mp4', ...lavfi('testsrc2=duration=3:size=640x360:rate=25'), ...fast),
      expected: 'clip_unusable',
    },
    { name: 'a face in a third of the frames', video: await thirdWithFace(folder), expected: 'frames_without_face' },
    {
      name: 'speech that is digital silence',
      audio: await ffmpeg('silence.wav', ...lavfi('anullsrc=sample_rate=16000'), '-t', '3'),
      expected: 'speech_silent',
    },
    {
      name: 'speech with NaN samples',
      audio: await writeNanSpeech(join(folder, 'nan.wav')),
      expected: 'no_voice_found',
    },
  ];
}

/** Requests with bad names, sizes or fields. */
async function makeBadRequests(folder: string, maxUploadBytes: number): Promise<BadInput[]> {
  const huge = await fileWriters(folder).write('huge.mp4', '');
  await truncate(huge, maxUploadBytes + 1);
  return [
    { name: 'a hostile file name', fileName: `it's "a" ;$(touch x) | ../../é\u4e2d %00.mp4`, expected: 'completed' },
    { name: 'an upload over the size limit', video: huge, expected: 'payload_too_large' },
    { name: 'an unknown field', fields: { color: 'blue' }, expected: 'request_invalid' },
    {
      name: 'three bad fields at once',
      fields: { sync_mode: 'sideways', start_ms: '-1', priority: '99' },
      expected: 'request_invalid',
    },
    { name: 'a window outside the clip', fields: { start_ms: '600000' }, expected: 'request_invalid' },
    { name: 'a method that is not configured', fields: { method: 'heygen' }, expected: 'not_supported' },
  ];
}

/** Two seconds of the sample clip, then four seconds of a test picture. */
async function thirdWithFace(folder: string): Promise<string> {
  const path = join(folder, 'third.mp4');
  const filter =
    '[0:v]trim=duration=2,setpts=PTS-STARTPTS[face];[1:v]format=yuv420p[rest];[face][rest]concat=n=2:v=1[out]';
  await promisify(execFile)('ffmpeg', [
    '-nostdin',
    '-v',
    'error',
    '-y',
    '-i',
    samplePaths.videoPath,
    '-f',
    'lavfi',
    '-i',
    'testsrc2=size=1280x720:rate=25:duration=4',
    '-filter_complex',
    filter,
    '-map',
    '[out]',
    '-preset',
    'ultrafast',
    path,
  ]);
  return path;
}

/** Writes two seconds of a tone in which every hundredth sample is NaN. */
async function writeNanSpeech(path: string): Promise<string> {
  const sampleRateHz = 16_000;
  const samples = Float32Array.from({ length: sampleRateHz * 2 }, (_, index) =>
    index % 100 === 0 ? NaN : Math.sin(index / 10) / 2,
  );
  await writeFloatWav(path, samples, sampleRateHz);
  return path;
}
