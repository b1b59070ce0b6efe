import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFrames, planTimeline, probeClip, type ClipFacts } from '../../src/media/index.ts';
import { writeEditLists } from './edit-lists.ts';
import { limits, makeMedia, temporaryFolder, x264 } from './make-media.ts';

const x265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'] as const;
const groups = (length: number): readonly string[] => ['-g', String(length), '-keyint_min', String(length)];
const sound = ['-f', 'lavfi', '-i', 'sine=d=3:sample_rate=48000'];

interface Numbered {
  readonly rate?: string;
  readonly size?: string;
  readonly first?: number;
  readonly count: number;
  /** Inputs and filters before the codec. */
  readonly more?: readonly string[];
}

/** A clip whose frames show their number as a gray level in the middle, with three levels between two numbers. */
async function makeNumbered(path: string, clip: Numbered, ...codec: readonly string[]): Promise<string> {
  const { rate = '25', size = '96x64', first = 0, count, more = [] } = clip;
  const source = `nullsrc=s=${size}:r=${rate},geq=lum='16+4*(N+${first})':cb=128:cr=128,format=yuv420p,trim=end_frame=${count}`;
  return makeMedia('-f', 'lavfi', '-i', source, ...more, ...codec, path);
}

async function concatenate(path: string, ...parts: readonly string[]): Promise<string> {
  await writeFile(path, Buffer.concat(await Promise.all(parts.map((part) => readFile(part)))));
  return path;
}

interface Shown {
  readonly facts: ClipFacts;
  readonly numbers: readonly number[];
  readonly warnings: readonly string[];
}

/** The numbers of the frames that the reader delivers. */
async function show(path: string): Promise<Shown> {
  const facts = await probeClip(path, { limits });
  const numbers: number[] = [];
  for await (const { data } of openFrames({ path, facts, range: { start: 0, end: facts.frameCount } })) {
    const middle = (facts.height / 2) * facts.width + facts.width / 2;
    numbers.push(Math.round(((data[middle] ?? 0) - 16) / 4));
  }
  return { facts, numbers, warnings: (facts.warnings ?? []).map(({ code }) => code) };
}

const range = (start: number, end: number): readonly number[] =>
  Array.from({ length: end - start }, (_, index) => start + index);
const fps = (numerator: number, denominator = 1) => ({ numerator, denominator });

const mpeg2 = ['-c:v', 'mpeg2video', '-q:v', '2'];
const mpeg4 = ['-c:v', 'mpeg4', '-q:v', '2'];

describe('What an edit list shows', { timeout: 60_000 }, () => {
  it('One edit of an H.264 clip with B-frames at 30 frames per second shows its frames only.', async () => {
    const folder = await temporaryFolder();
    const encoding = ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2', '-qp', '4', ...groups(10)];
    const path = await makeNumbered(join(folder, 'clip.mp4'), { rate: '30', count: 50 }, ...encoding);
    await writeEditLists(path, [{ startS: 13 / 30, durationS: 1 }]);
    const { facts, numbers, warnings } = await show(path);
    expect(facts).toMatchObject({ frameRate: fps(30), frameCount: 30, variableFrameRate: false });
    expect(numbers).toEqual(range(13, 43));
    expect(warnings).toEqual([]);
  });

  it('Two edits of a MOV show the frames of both.', async () => {
    const folder = await temporaryFolder();
    const encoding = ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2', '-qp', '4', ...groups(7)];
    const path = await makeNumbered(join(folder, 'clip.mov'), { count: 50 }, ...encoding);
    await writeEditLists(path, [
      { startS: 0.2, durationS: 0.4 },
      { startS: 1.2, durationS: 0.6 },
    ]);
    const { facts, numbers, warnings } = await show(path);
    expect(facts).toMatchObject({ frameRate: fps(25), frameCount: 25, variableFrameRate: false });
    expect(numbers).toEqual([...range(5, 15), ...range(30, 45)]);
    expect(warnings).toEqual([]);
  });

  it('A pause of an edit list before the picture counts in the time of the clip.', async () => {
    const folder = await temporaryFolder();
    const path = await makeNumbered(join(folder, 'clip.mp4'), { count: 40 }, ...x264, '-qp', '4', '-bf', '1');
    await writeEditLists(path, [{ durationS: 0.8 }, { startS: 0.4, durationS: 1 }]);
    const { facts, numbers, warnings } = await show(path);
    expect(numbers).toEqual(range(10, 35));
    expect(facts.startMs).toBeCloseTo(800, 0);
    expect(warnings).toEqual(['picture_starts_late']);
  });
});

describe('Frames that a container leaves out', { timeout: 60_000 }, () => {
  it.each([
    ['mpeg4', '25', mpeg4, 20, 29],
    ['mpeg4', '30000/1001', [...mpeg4, '-g', '5'], 3, 4],
  ] as const)('An AVI (%s) with empty frames shows the frame before them.', async (_, rate, codec, first, last) => {
    const folder = await temporaryFolder();
    const more = ['-vf', `select='not(between(n,${first},${last}))'`, '-fps_mode', 'vfr'];
    const path = await makeNumbered(join(folder, 'clip.avi'), { rate, count: 50, more }, ...codec);
    const { facts, numbers, warnings } = await show(path);
    const [numerator, denominator = 1] = rate.split('/').map(Number);
    expect(facts).toMatchObject({ frameRate: { numerator, denominator }, variableFrameRate: false });
    expect(numbers).toEqual(range(0, 50).map((n) => (n >= first && n <= last ? first - 1 : n)));
    expect(warnings).toEqual([]);
  });
});

describe('Clocks that jump', { timeout: 60_000 }, () => {
  const cases: readonly [string, string, string, readonly string[], readonly string[]][] = [
    ['restarts in H.264', 'ts', '25', [...x264, '-qp', '4', '-bf', '2'], []],
    ['restarts in MPEG-2', 'ts', '30000/1001', [...mpeg2, '-bf', '2'], []],
    ['restarts in a program stream', 'mpg', '25', [...mpeg2, '-bf', '2'], []],
    ['jumps by 5000 s', 'mpg', '25', mpeg2, ['-output_ts_offset', '5000']],
    ['jumps by 70 s', 'ts', '50', [...x264, '-qp', '4'], ['-output_ts_offset', '70']],
  ];

  it.each(cases)(
    'A clip whose clock %s (%s) shows its parts one after the other.',
    async (_, format, rate, ...more) => {
      const [codec, offset] = more;
      const folder = await temporaryFolder();
      const parts = await Promise.all(
        [0, 20, 40].map((first) =>
          makeNumbered(
            join(folder, `${first}.${format}`),
            { rate, first, count: first === 40 ? 10 : 20 },
            ...codec,
            ...(first === 20 ? offset : []),
          ),
        ),
      );
      const path = await concatenate(join(folder, `joined.${format}`), ...parts);
      const { facts, numbers, warnings } = await show(path);
      const [numerator, denominator = 1] = rate.split('/').map(Number);
      expect(facts).toMatchObject({ frameRate: { numerator, denominator }, variableFrameRate: false });
      expect(numbers).toEqual(range(0, 50));
      expect(warnings).toEqual(['clock_jumps']);
    },
  );
});

it('The first of FLV files that were joined byte by byte is shown, with a warning.', { timeout: 60_000 }, async () => {
  const path = join(await temporaryFolder(), 'joined.flv');
  const part = await readFile(await makeNumbered(path, { count: 20 }, ...x264, '-qp', '4'));
  expect(await show(path)).toMatchObject({ numbers: range(0, 20), warnings: [] });
  await writeFile(path, Buffer.concat([part, part, part]));
  const { numbers, facts } = await show(path);
  expect(numbers).toEqual(range(0, 20));
  expect(facts.warnings).toMatchObject([{ code: 'clip_data_unused', message: expect.stringMatching(/of 3 files/) }]);
});

describe('Recordings that begin between keyframes', { timeout: 60_000 }, () => {
  it.each([
    ['H.264 without a container', 'h264', 1, [...x264, '-qp', '4', '-bf', '0', ...groups(15)]],
    ['HEVC in MPEG-TS', 'ts', 188, [...x265, '-x265-params', 'log-level=none:qp=4:keyint=15']],
    ['MPEG-4 in MPEG-TS', 'ts', 188, [...mpeg4, ...groups(15), '-sc_threshold', '1000000000']],
  ] as const)('%s is shown from its first complete frame on.', async (_, format, unit, codec) => {
    const folder = await temporaryFolder();
    const whole = await readFile(await makeNumbered(join(folder, `whole.${format}`), { count: 50 }, ...codec));
    const path = join(folder, `cut.${format}`);
    const start = Math.floor(whole.length / 6 / unit) * unit;
    await writeFile(path, whole.subarray(start));
    const { numbers, warnings } = await show(path);
    expect(numbers).toEqual(range(15, 50));
    expect(warnings).toContain('clip_start_missing');
  });
});

describe('Parts that are copied into a container without presentation times', { timeout: 60_000 }, () => {
  const group = [...groups(12), '-sc_threshold', '1000000000'];
  const open = [...x264, '-preset', 'veryfast', '-qp', '4', '-bf', '3', '-x264opts', 'open-gop=1'];
  it.each([
    ['MPEG-4', 'avi', [...mpeg4, '-bf', '2']],
    ['MPEG-4 with one B-frame', 'asf', [...mpeg4, '-bf', '1']],
    ['MPEG-4 with three B-frames', 'asf', [...mpeg4, '-bf', '3']],
    ['MPEG-4 without B-frames', 'avi', mpeg4],
    ['MPEG-2', 'avi', [...mpeg2, '-bf', '2']],
    ['H.264', 'asf', [...x264, '-qp', '4', '-bf', '2']],
    ['H.264 with open groups', 'asf', open],
  ] as const)(
    '%s in %s shows every frame that can be decoded, and nothing behind its end.',
    async (_, format, codec) => {
      const folder = await temporaryFolder();
      const whole = await makeNumbered(join(folder, 'whole.avi'), { count: 50 }, ...codec, ...group);
      expect((await show(whole)).numbers).toEqual(range(0, 50));
      const part = await makeMedia('-ss', '0.6', '-i', whole, '-c', 'copy', join(folder, `part.${format}`));
      const { numbers } = await show(part);
      const [first = 0] = numbers;
      expect(first).toBeGreaterThan(0);
      expect(numbers).toEqual(range(first, 50));
    },
  );
});

describe('Streams without time stamps', { timeout: 60_000 }, () => {
  const hevc = [...x265, '-x265-params', 'log-level=none:qp=4'];
  it.each([
    ['h264', '25', [...x264, '-qp', '4', '-bf', '2']],
    ['h264', '30', [...x264, '-qp', '4']],
    ['hevc', '24000/1001', hevc],
    ['m4v', '25', [...mpeg4, '-bf', '2', '-f', 'm4v']],
    ['m2v', '30000/1001', [...mpeg2, '-bf', '2']],
  ] as const)('Raw %s at %s frames per second is shown completely, with a warning.', async (format, rate, codec) => {
    const path = await makeNumbered(join(await temporaryFolder(), `clip.${format}`), { rate, count: 50 }, ...codec);
    const { facts, numbers } = await show(path);
    const [numerator, denominator = 1] = rate.split('/').map(Number);
    expect(facts.frameRate).toEqual({ numerator, denominator });
    expect(numbers).toEqual(range(0, 50));
    expect(facts.warnings).toMatchObject([{ code: 'time_stamps_missing', message: expect.stringMatching(/ffmpeg/) }]);
  });

  it('A raw stream that does not state its rate is shown at 25 frames per second.', async () => {
    const codec = [
      ...x264,
      '-qp',
      '4',
      '-bsf:v',
      'h264_metadata=fixed_frame_rate_flag=0',
      '-x264-params',
      'force-cfr=0',
    ];
    const path = await makeNumbered(join(await temporaryFolder(), 'clip.h264'), { count: 20 }, ...codec);
    const { facts } = await show(path);
    expect(facts.warnings?.[0]?.message).toMatch(/25 frames per second/);
  });
});

describe('A picture that starts after its sound', { timeout: 60_000 }, () => {
  it.each([
    ['mkv', '0.72', mpeg4],
    ['mp4', '1', [...x264, '-qp', '4', '-bf', '2']],
  ] as const)('start_ms and end_ms of a clip in %s count as a player does.', async (format, offset, codec) => {
    const path = join(await temporaryFolder(), `late.${format}`);
    const more = ['-itsoffset', `-${offset}`, ...sound, '-avoid_negative_ts', 'make_non_negative', '-muxdelay', '0'];
    await makeNumbered(path, { count: 50, more: [...more, '-c:a', 'mp2'] }, ...codec);
    const { facts, numbers, warnings } = await show(path);
    expect(numbers).toEqual(range(0, 50));
    expect(warnings).toEqual(['picture_starts_late']);
    const lateMs = Number(offset) * 1000;
    expect(Math.abs((facts.startMs ?? 0) - lateMs)).toBeLessThan(40);
    const window = { startMs: lateMs + 400, endMs: lateMs + 800 };
    expect(planTimeline(facts, 10_000, { syncMode: 'cut_off', window })).toMatchObject({
      windowStart: 10,
      windowLength: 10,
    });
  });
});

describe('Streams that change', { timeout: 60_000 }, () => {
  const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '4M', '-qmin', '0', '-qmax', '4'];
  const h264 = [...x264, '-qp', '4'];

  async function join2(folder: string, format: string, parts: readonly (readonly [Numbered, readonly string[]])[]) {
    const paths = await Promise.all(
      parts.map(([clip, codec], index) => makeNumbered(join(folder, `${index}.${format}`), clip, ...codec)),
    );
    const list = join(folder, 'list.txt');
    await writeFile(list, paths.map((path) => `file '${path}'\n`).join(''));
    return makeMedia('-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy', join(folder, `joined.${format}`));
  }

  it.each([
    ['webm', 'a smaller size', vp8, { size: '64x48' }, []],
    ['webm', 'a larger size', vp8, { size: '160x120' }, []],
    ['ts', 'an upright size', h264, { size: '64x96' }, []],
    ['ts', 'another pixel format', h264, {}, ['-pix_fmt', 'yuv444p']],
    ['mkv', 'another shape of its pixels', mpeg4, {}, ['-aspect', '3:4']],
  ] as const)('Every frame of a clip (%s) that changes to %s has its time.', async (format, _, codec, change, more) => {
    const folder = await temporaryFolder();
    const path = await join2(folder, format, [
      [{ count: 20 }, codec],
      [{ first: 20, count: 15, ...change }, [...codec, ...more]],
      [{ first: 35, count: 15 }, codec],
    ]);
    const { facts, numbers } = await show(path);
    expect(facts).toMatchObject({ width: 96, height: 64, frameRate: fps(25) });
    expect(numbers).toEqual(range(0, 50));
    const found: number[] = [];
    for await (const { data } of openFrames({ path, facts, range: { start: 23, end: 40 }, pixelFormat: 'rgb24' }))
      found.push(data.length);
    expect(found).toEqual(found.map(() => 96 * 64 * 3));
  });
});
