import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFaceDetector, trackFaces, type FaceDetector, type FaceTrack } from '../../src/face/index.ts';
import { probeClip } from '../../src/media/index.ts';
import { limits, makeMedia, temporaryFolder, x264 } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const presenter = join(samples, 'presenter.mp4');
const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const longestMs = 90_000;

let detector: FaceDetector;

beforeAll(async () => {
  detector = await createFaceDetector();
});

afterAll(() => detector.close());

/** Tracks the first six seconds. */
async function track(clipPath: string): Promise<FaceTrack> {
  const clip = await probeClip(clipPath, { limits });
  const workDir = await temporaryFolder();
  return trackFaces({
    clipPath,
    clipDigest: randomUUID(),
    clip,
    range: { start: 0, end: Math.min(clip.frameCount, 150) },
    detector,
    cacheDir: join(workDir, 'cache'),
    workDir,
    signal: AbortSignal.timeout(longestMs),
  });
}

/** Four seconds of the presenter, half as large, with a filter graph that ends in the picture to encode. */
async function compose(graph: string, ...moreInputs: readonly string[]): Promise<string> {
  const folder = await temporaryFolder();
  const inputs = ['-t', '4', '-i', presenter, ...moreInputs];
  return makeMedia(...inputs, '-filter_complex', graph, '-t', '4', ...x264, '-an', join(folder, 'composed.mp4'));
}

const smallPresenter = '[0]fps=25,scale=640:-2';
/** The mouth of the small presenter lies around (321, 203) and is 44 pixels wide. */
const covers = [
  ['A microphone', 'color=c=0x303034:s=46x120', 'overlay=x=292:y=198'],
  ['A hand', 'color=c=0xb98868:s=96x62', 'overlay=x=273:y=174'],
  ['A caption over the mouth', 'color=c=0xf0f0f0:s=300x24', 'overlay=x=171:y=192'],
] as const;

describe('Covered mouths', () => {
  it.each(covers)('%s is found to the frame.', { timeout: longestMs }, async (_, cover, overlay) => {
    const path = await compose(
      `${smallPresenter}[p];${cover}:r=25[c];[p][c]${overlay}:shortest=1:enable='between(n,30,69)'`,
    );
    const faces = await track(path);
    faces.close();
    expect(faces.hiddenRanges.map(({ reason }) => reason)).toEqual(['covered']);
    const [{ start = NaN, end = NaN } = {}] = faces.hiddenRanges;
    expect(Math.abs(start - 30)).toBeLessThanOrEqual(1);
    expect(Math.abs(end - 70)).toBeLessThanOrEqual(1);
    expect([20, start, 50, end - 1, 80].map((frame) => faces.visibility(frame))).toEqual([1, 0, 0, 0, 1]);
    expect(faces.visibility(start - 2)).toBeGreaterThan(0);
    expect(faces.visibility(start - 2)).toBeLessThan(1);
  });

  it.each([
    ['all the time', 0, 100],
    ['for most of the shot', 15, 85],
  ] as const)('A microphone in front of the mouth %s is found.', { timeout: longestMs }, async (_, start, end) => {
    const [, cover, overlay] = covers[0];
    const enabled = `between(n,${start},${end - 1})`;
    const faces = await track(
      await compose(`${smallPresenter}[p];${cover}:r=25[c];[p][c]${overlay}:shortest=1:enable='${enabled}'`),
    );
    faces.close();
    expect(faces.hiddenRanges.map(({ reason }) => reason)).toEqual(['covered']);
    const [found = { start: NaN, end: NaN }] = faces.hiddenRanges;
    expect(Math.abs(found.start - start)).toBeLessThanOrEqual(1);
    expect(Math.abs(found.end - end)).toBeLessThanOrEqual(1);
  });

  it('A talking mouth, changing light and a moving camera are not covers.', { timeout: longestMs }, async () => {
    const light = `eq=brightness='0.12*sin(t*3)':eval=frame`;
    const camera = `crop=560:316:x='40+30*sin(t*4)':y='22+15*sin(t*7)'`;
    const faces = await track(await compose(`${smallPresenter},${light},${camera}`));
    faces.close();
    expect(faces.hiddenRanges).toEqual([]);
    expect(faces.absentRanges).toEqual([]);
    expect(faces.faceChoices).toEqual([]);
  });

  it('Flashes of single frames start no shot and hide no mouth.', { timeout: longestMs }, async () => {
    const flashes = `eq=brightness=0.75:enable='eq(mod(n,25),12)'`;
    const faces = await track(await compose(`${smallPresenter},${flashes}`));
    const presences = [12, 37, 62, 87].map((frame) => faces.frame(frame).presence);
    faces.close();
    expect(faces.shotStarts).toEqual([0]);
    expect(faces.hiddenRanges).toEqual([]);
    expect(presences).not.toContain('absent');
  });

  it
    .skipIf(!clipsFolder)
    .each([
      'portrait-1080x1920-hevc-25fps.mp4',
      'silent-704x1216-25fps.mp4',
      'talk-700x700-30fps.mp4',
      'talk-844x844-25fps.mp4',
      'syncnet-example-offset-3.avi',
    ])('No frame of %s has a hidden mouth.', { timeout: longestMs }, async (name) => {
    const faces = await track(join(clipsFolder ?? '', name));
    faces.close();
    expect(faces.hiddenRanges).toEqual([]);
    expect(faces.faceChoices).toEqual([]);
  });
});

describe('A face that never moves', () => {
  const poster = '[1]scale=480:540,hflip,eq=saturation=0.35[poster]';
  const speaker = '[0]fps=25,crop=700:720:290:0,scale=340:-2[p]';
  const scene = `${poster};${speaker};color=c=0x303030:s=960x540:r=25[b];[b][poster]overlay=0:0[c];[c][p]overlay=575:150:shortest=1`;
  const still = ['-loop', '1', '-framerate', '25', '-i', join(samples, 'presenter.png')];

  it.each([
    ['still', ''],
    ['shaking', `,crop=880:496:x='40+30*sin(t*7)+8*sin(t*23)':y='22+15*sin(t*5)+6*sin(t*29)'`],
  ])(
    'A poster that is larger than the speaker is passed over under a %s camera.',
    { timeout: longestMs },
    async (_, camera) => {
      const faces = await track(await compose(`${scene}${camera}`, ...still));
      const [noseX = NaN] = faces.frame(50).points.subarray(6);
      faces.close();
      expect(noseX).toBeGreaterThan(600);
      expect(faces.faceChoices).toMatchObject([{ others: [{ isStill: true }] }]);
      expect(faces.faceChoices[0]?.others[0]?.height).toBeGreaterThan(faces.faceChoices[0]?.chosen.height ?? NaN);
    },
  );

  it('The larger one of two speakers is chosen, and the other one is named.', { timeout: longestMs }, async () => {
    const first = '[0]fps=25,crop=700:720:290:0,split[a][b];[a]scale=480:-2[left]';
    const second = '[b]hflip,scale=340:-2,pad=480:494:70:72,setpts=PTS+0.4/TB[right]';
    const faces = await track(await compose(`${first};${second};[left][right]hstack`));
    const [noseX = NaN] = faces.frame(50).points.subarray(6);
    faces.close();
    expect(noseX).toBeLessThan(480);
    expect(faces.faceChoices).toMatchObject([{ others: [{ isStill: false }] }]);
  });
});
