import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createFaceDetector,
  measureLips,
  trackFaces,
  type FaceDetector,
  type FaceTrack,
} from '../../src/face/index.ts';
import { followFaces, type TrackFacesOptions } from '../../src/face/track-faces.ts';
import { openFrames, probeClip } from '../../src/media/index.ts';
import { faceWith } from '../../src/testing/synthetic-inputs.ts';
import { limits, makeMedia, temporaryFolder, x264 } from '../media/make-media.ts';

const presenter = fileURLToPath(new URL('../../../../samples/presenter.mp4', import.meta.url));
const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];

let detector: FaceDetector;
let folder: string;

beforeAll(async () => {
  detector = await createFaceDetector();
});

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterAll(async () => {
  await detector.close();
});

interface Run {
  readonly path: string;
  readonly digest?: string;
  readonly range?: { readonly start: number; readonly end: number };
  readonly watched?: FaceDetector;
  readonly signal?: AbortSignal;
  readonly onProgress?: () => void;
}

async function track(run: Run): Promise<FaceTrack> {
  return trackFaces(await optionsOf(run));
}

async function optionsOf({
  path,
  digest = randomUUID(),
  range,
  watched = detector,
  signal = AbortSignal.timeout(60_000),
  onProgress = () => undefined,
}: Run): Promise<TrackFacesOptions> {
  const clip = await probed(path);
  return {
    clipPath: path,
    clipDigest: digest,
    clip,
    detector: watched,
    signal,
    onProgress,
    range: range ?? { start: 0, end: clip.frameCount },
    cacheDir: join(folder, 'cache'),
    workDir: folder,
  };
}

function presences(faces: FaceTrack): readonly string[] {
  return Array.from({ length: faces.frameCount }, (_, index) => faces.frame(index).presence);
}

function centerOf(points: Float32Array): readonly [number, number] {
  return [points[168 * 3] ?? NaN, points[168 * 3 + 1] ?? NaN];
}

const known = new Map<string, ReturnType<typeof probeClip>>();

/** Probing reads the whole clip, so its result is shared. */
function probed(path: string): ReturnType<typeof probeClip> {
  const facts = known.get(path) ?? probeClip(path, { limits });
  known.set(path, facts);
  return facts;
}

/** The detector with a counter of its calls. */
function countingDetector(): { readonly watched: FaceDetector; calls: () => number } {
  let count = 0;
  const watched: FaceDetector = {
    ...detector,
    mesh: (...call) => {
      count += 1;
      return detector.mesh(...call);
    },
  };
  return { watched, calls: () => count };
}

function derive(name: string, input: readonly string[], ...more: readonly string[]): Promise<string> {
  return makeMedia('-y', ...input, ...more, ...x264, '-an', join(folder, name));
}

describe('trackFaces on the presenter clip', () => {
  it('The face is found in every frame, and no temporary files remain.', async () => {
    const faces = await track({ path: presenter, range: { start: 10, end: 60 } });
    expect(presences(faces)).toEqual(Array.from({ length: 50 }, () => 'found'));
    expect(faces.shotStarts).toEqual([0]);
    expect(faces.absentRanges).toEqual([]);
    const [x, y] = centerOf(faces.frame(25).points);
    expect(x).toBeGreaterThan(320);
    expect(x).toBeLessThan(960);
    expect(y).toBeGreaterThan(72);
    expect(y).toBeLessThan(648);
    faces.close();
    expect(await readdir(folder)).toEqual(['cache']);
  });

  it.skipIf(process.platform !== 'linux')('A file that cannot be created leaves no other one open.', async () => {
    // The path of the track still fits into the limit of the system; the longer one of the observations does not.
    const longestPath = 4_095;
    let workDir = folder;
    while (longestPath - workDir.length > 300) workDir = join(workDir, 'a'.repeat(200));
    workDir = join(workDir, 'a'.repeat(longestPath - workDir.length - '//track-'.length - randomUUID().length));
    await mkdir(workDir, { recursive: true });
    const options = { ...(await optionsOf({ path: presenter, range: { start: 0, end: 2 } })), workDir };
    await expect(trackFaces(options)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    const descriptors = await readdir('/proc/self/fd');
    const open = await Promise.all(descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
    expect(open.filter((path) => path.startsWith(workDir))).toEqual([]);
    expect(await readdir(workDir)).toEqual([]);
  });

  it('The lips open and close as in landmarks that are detected per frame.', async () => {
    const clip = await probed(presenter);
    const range = { start: 0, end: 24 };
    const faces = await track({ path: presenter, range });
    const differences: number[] = [];
    for await (const { index, data } of openFrames({ path: presenter, facts: clip, range, pixelFormat: 'rgb24' })) {
      const [box] = await detector.detect(data, clip.width, clip.height);
      if (!box) throw new Error('The presenter has no face.');
      const region = {
        centerX: box.x + box.width / 2,
        centerY: box.y + box.height / 2,
        side: box.width * 1.5,
        roll: box.roll,
      };
      const alone = await detector.mesh(data, clip.width, clip.height, region);
      if (!alone) throw new Error('The presenter has no mesh.');
      differences.push(Math.abs(measureLips(alone.points).opening - measureLips(faces.frame(index).points).opening));
    }
    const openings = Array.from({ length: 24 }, (_, index) => measureLips(faces.frame(index).points).opening);
    faces.close();
    expect(Math.max(...openings)).toBeGreaterThan(0.15);
    expect(Math.min(...openings)).toBeLessThan(0.05);
    expect(differences.toSorted((first, second) => first - second)[12]).toBeLessThan(0.02);
  });

  it('The track of a known clip and range is read from the cache without detection.', async () => {
    const digest = randomUUID();
    const range = { start: 0, end: 10 };
    const first = await track({ path: presenter, digest, range });
    const { watched, calls } = countingDetector();
    const second = await track({ path: presenter, digest, range, watched });
    expect([first.cached, second.cached, calls()]).toEqual([false, true, 0]);
    expect(second.frame(7).points).toEqual(first.frame(7).points);
    const other = await track({ path: presenter, digest, range: { start: 0, end: 9 }, watched });
    expect(other.cached).toBe(false);
    for (const faces of [first, second, other]) faces.close();
  });

  it('A damaged cached track is computed again.', async () => {
    const digest = randomUUID();
    const range = { start: 0, end: 6 };
    (await track({ path: presenter, digest, range })).close();
    const [name = ''] = await readdir(join(folder, 'cache'));
    const path = join(folder, 'cache', name);
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(9000) ^ 1, 9000);
    await writeFile(path, bytes);
    const again = await track({ path: presenter, digest, range });
    expect(again.cached).toBe(false);
    again.close();
  });

  it('An aborted signal stops tracking and leaves no partial files.', async () => {
    const controller = new AbortController();
    const run = track({ path: presenter, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'canceled' });
    const unfinished = (await readdir(folder, { recursive: true })).filter((name) =>
      /(track|observations)-|cache\//.test(name),
    );
    expect(unfinished).toEqual([]);
  });
});

describe('followFaces', () => {
  /** A detector of one face, whose search of the whole picture waits for `gate` from frame 525 on. */
  function gatedDetector(gate: Promise<void>): FaceDetector {
    let searches = 0;
    return {
      ...detector,
      detect: async () => {
        searches += 1;
        // The whole picture is searched once per second.
        if (searches > 21) await gate;
        return [{ x: 60, y: 60, width: 180, height: 180, score: 1, roll: 0 }];
      },
      mesh: async () => ({ points: faceWith(0.1), score: 1 }),
    };
  }

  const longClip = (): Promise<string> => derive('long.mp4', ['-f', 'lavfi', '-i', 'color=gray:s=320x320:r=25:d=24']);

  it('The first frames of a long shot can be read before the rest is tracked, and equal the complete track.', async () => {
    const gate = Promise.withResolvers<void>();
    const followed = followFaces(await optionsOf({ path: await longClip(), watched: gatedDetector(gate.promise) }));
    await followed.ready(240);
    const early = Array.from({ length: 241 }, (_, index) => [followed.frame(index), followed.visibility(index)]);
    expect(() => followed.frame(251)).toThrow(RangeError);
    gate.resolve();
    const complete = await followed.complete();
    expect(early).toEqual(early.map((_, index) => [complete.frame(index), complete.visibility(index)]));
    expect(complete.frameCount).toBe(600);
    await followed.close();
    expect(await readdir(folder)).toEqual(['cache', 'long.mp4']);
  });

  it('An error of tracking reaches a frame that waits, and neither a track nor other files are left.', async () => {
    const gate = Promise.withResolvers<void>();
    const followed = followFaces(await optionsOf({ path: await longClip(), watched: gatedDetector(gate.promise) }));
    await followed.ready(240);
    const waiting = followed.ready(599);
    const failure = new Error('The model failed.');
    // The detector may not wait for it yet.
    gate.promise.catch(() => undefined);
    gate.reject(failure);
    await expect(waiting).rejects.toBe(failure);
    expect(() => followed.frame(0)).toThrow(failure);
    await expect(followed.complete()).rejects.toBe(failure);
    await followed.close();
    expect(await readdir(folder)).toEqual(['long.mp4']);
  });

  it('Closing it early ends tracking and leaves no files.', async () => {
    const gate = Promise.withResolvers<void>();
    const followed = followFaces(await optionsOf({ path: await longClip(), watched: gatedDetector(gate.promise) }));
    await followed.ready(240);
    const closed = followed.close();
    gate.resolve();
    await closed;
    await expect(followed.complete()).rejects.toMatchObject({ code: 'canceled' });
    expect(await readdir(folder)).toEqual(['long.mp4']);
  });
});

describe('trackFaces on variations of the presenter clip', () => {
  const fromPresenter = (seconds: number): string[] => ['-t', String(seconds), '-i', presenter];

  it.each([-55, 55])('A head tilted by %i degrees is tracked.', async (degrees) => {
    const path = await derive(
      `tilt${degrees}.mp4`,
      fromPresenter(0.4),
      '-vf',
      `rotate=${degrees}*PI/180:fillcolor=gray`,
    );
    const faces = await track({ path });
    expect(new Set(presences(faces))).toEqual(new Set(['found']));
    const { points } = faces.frame(5);
    const roll = Math.atan2(
      (points[263 * 3 + 1] ?? 0) - (points[33 * 3 + 1] ?? 0),
      (points[263 * 3] ?? 0) - (points[33 * 3] ?? 0),
    );
    expect(Math.abs((roll * 180) / Math.PI - degrees)).toBeLessThan(8);
    faces.close();
  });

  it('A clip without any face throws clip_unusable with advice.', async () => {
    const path = await derive('empty.mp4', ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25:d=0.8']);
    await expect(track({ path })).rejects.toMatchObject({
      code: 'clip_unusable',
      message: expect.stringContaining('No face was found'),
    });
  });

  it('The range without a face is exact to the frame.', async () => {
    const inputs = [...fromPresenter(0.8), '-f', 'lavfi', '-i', 'testsrc2=s=1280x720:r=25:d=1.6'];
    const path = await derive('third.mp4', inputs, '-filter_complex', '[1][0]concat');
    const faces = await track({ path });
    expect(faces.absentRanges).toEqual([{ start: 0, end: 40 }]);
    expect(faces.shotStarts).toEqual([0, 40]);
    expect(faces.frame(39).points).toHaveLength(0);
    faces.close();
  });

  it('A short gap without a face is interpolated and a long one is not.', async () => {
    const hide = (from: number, to: number): string =>
      `drawbox=x=400:y=60:w=480:h=560:t=fill:c=gray:enable='between(n,${from},${to})'`;
    const path = await derive('gaps.mp4', fromPresenter(1.6), '-vf', `${hide(6, 9)},${hide(18, 32)}`);
    const faces = await track({ path });
    const seen = presences(faces);
    faces.close();
    expect(faces.shotStarts).toEqual([0]);
    expect(seen.slice(6, 10)).toEqual(['interpolated', 'interpolated', 'interpolated', 'interpolated']);
    expect(faces.absentRanges).toEqual([{ start: 18, end: 33 }]);
  });

  it('Smoothing does not cross a cut.', async () => {
    const path = await derive(
      'cut.mp4',
      fromPresenter(0.8),
      '-filter_complex',
      '[0]split[a][b];[b]hflip,negate,crop=900:506:300:0,scale=1280:720,negate,eq=brightness=-0.3[c];[a][c]concat',
    );
    const faces = await track({ path });
    expect(faces.shotStarts).toEqual([0, 20]);
    const first = await track({ path, range: { start: 0, end: 20 } });
    expect(faces.frame(19).points).toEqual(first.frame(19).points);
    for (const each of [faces, first]) each.close();
  });

  it('A still head stays still in spite of noise.', async () => {
    const path = await derive(
      'still.mp4',
      ['-loop', '1', '-t', '0.8', '-r', '25', '-i', presenter.replace('.mp4', '.png')],
      '-vf',
      'scale=1280:-2,noise=alls=6:allf=t',
    );
    const faces = await track({ path });
    const xs = Array.from({ length: 20 }, (_, index) => centerOf(faces.frame(index).points)[0]);
    faces.close();
    const steps = xs.slice(6, 15).map((x, index) => Math.abs(x - (xs[index + 5] ?? x)));
    expect(Math.max(...steps)).toBeLessThan(0.8);
  });

  it('A still picture has a track of one frame.', async () => {
    const faces = await track({ path: presenter.replace('.mp4', '.png') });
    expect(presences(faces)).toEqual(['found']);
    faces.close();
  });
});

describe('trackFaces on real clips', () => {
  it.skipIf(!clipsFolder).each(['talk-700x700-30fps.mp4', 'talk-844x844-25fps.mp4'])(
    'A face is found in every frame of %s.',
    async (name) => {
      const faces = await track({ path: join(clipsFolder ?? '', name) });
      expect(new Set(presences(faces))).toEqual(new Set(['found']));
      faces.close();
    },
  );

  it.skipIf(!clipsFolder)('The same one of several people in a still picture is chosen on every run.', async () => {
    const path = join(clipsFolder ?? '', 'still-people.png');
    const [first, second] = [await track({ path }), await track({ path })];
    expect(first.frame(0).points).toEqual(second.frame(0).points);
    for (const faces of [first, second]) faces.close();
  });
});
