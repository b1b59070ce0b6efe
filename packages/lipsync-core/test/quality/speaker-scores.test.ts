import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planTimeline, probeClip } from '../../src/media/index.ts';
import { assessVideoTask } from '../../src/quality/assessment/assess-video-task.ts';
import { limits } from '../media/make-media.ts';
import { TakeMaker, taskContext } from './take-fixture.ts';

const [clips, models] = [process.env['LIPSYNC_TEST_CLIPS_DIR'], process.env['LIPSYNC_TEST_MODELS_DIR']];

describe.skipIf(clips === undefined || models === undefined)(
  'LR-ASD on real faces (needs LIPSYNC_TEST_CLIPS_DIR and LIPSYNC_TEST_MODELS_DIR)',
  { timeout: 300_000 },
  () => {
    let maker: TakeMaker;
    beforeAll(async () => {
      maker = await TakeMaker.create();
    });
    afterAll(async () => maker[Symbol.asyncDispose]());

    const clip = (name: string): string => join(clips ?? '', name);
    const speaking = clip('syncnet-example-offset-3.avi');

    /** The scores and this analyzer's labels of a video that ffmpeg makes. */
    async function assess(...args: readonly string[]) {
      return assessTake(await maker.ffmpeg(...args));
    }

    async function assessTake(videoPath: string, clipPath?: string) {
      const trackCacheFolder = join(maker.folder, 'tracks');
      const speakerPath = join(models ?? '', 'lr-asd-pretrain-ava.model');
      const source = clipPath === undefined ? {} : { source: await describeSource(clipPath) };
      const { quality } = await assessVideoTask(
        { videoPath, trackCacheFolder, workFolder: maker.folder, limits, models: { speakerPath }, ...source },
        taskContext(),
      );
      const value = (name: string): number => quality.parts[name]?.value ?? Number.NaN;
      return {
        speaker: value('speaker_score'),
        other: value('other_speaker_score'),
        mouthInPauses: value('mouth_in_pauses_score'),
        labels: quality.labels.map(({ code }) => code).filter((code) => /^(mouth_s|other_)/.test(code)),
        offsetMs: quality.sync?.offsetMs,
        digest: quality.models['lr-asd'],
      };
    }

    async function describeSource(clipPath: string) {
      const facts = await probeClip(clipPath, { limits });
      const timeline = planTimeline(facts, facts.durationMs, { syncMode: 'loop' });
      return { clipPath, clipDigest: clipPath, clip: facts, timeline };
    }
    const end = ['-t', '2.4', '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '16', '-pix_fmt', 'yuv420p'];

    it('A speaking face scores above a frozen one under the same speech, which is labeled.', async () => {
      const own = await assess('-i', speaking, ...end, 'own.mp4');
      const still = ['-vf', "select='eq(n,10)',loop=-1:1,setpts=N/25/TB", '-r', '25'];
      const frozen = await assess('-i', speaking, ...still, ...end, 'frozen.mp4');
      expect(own.speaker).toBeGreaterThan(0.5);
      expect(frozen.speaker).toBeLessThan(-2);
      expect([own.labels, frozen.labels]).toEqual([[], ['mouth_still_in_speech']]);
      expect(own.digest).toMatch(/^85e6c77f/);
    });

    it('A mouth that speaks over silence is labeled.', async () => {
      const mute = ['-f', 'lavfi', '-i', 'anullsrc=r=16000:cl=mono', '-map', '0:v', '-map', '1:a'];
      const silent = await assess('-i', speaking, ...mute, ...end, 'silent.mp4');
      expect(silent.speaker).toBeNaN();
      expect(silent.mouthInPauses).toBeGreaterThan(0);
      expect(silent.labels).toEqual(['mouth_speaks_in_silence']);
    });

    it('Of two faces, the smaller one scores higher with its own voice.', async () => {
      const two = '[0:v]fps=25,scale=480:480[a];[1:v]fps=25,scale=320:320,pad=320:480:0:80[b];[a][b]hstack[v]';
      const faces = ['-i', clip('talk-700x700-30fps.mp4'), '-i', clip('talk-844x844-25fps.mp4')];
      const found = await assess(...faces, '-filter_complex', two, '-map', '[v]', '-map', '1:a', ...end, 'two.mp4');
      expect(found.other).toBeGreaterThan(found.speaker + 0.5);
    });

    it('A take whose face is still while another face of the clip speaks is labeled, and its offset is unknown.', async () => {
      const faces = ['-i', clip('talk-844x844-25fps.mp4'), '-i', speaking];
      const beside = (left: string): readonly string[] => [
        '-filter_complex',
        `[0:v]${left}scale=480:480[a];[1:v]scale=320:320,pad=320:480:0:80[b];[a][b]hstack[v]`,
        '-map',
        '[v]',
        '-map',
        '1:a',
        ...end,
      ];
      const clipPath = await maker.ffmpeg(...faces, ...beside(''), 'clip.mp4');
      const take = await maker.ffmpeg(...faces, ...beside('loop=-1:1,setpts=N/25/TB,'), 'still-face.mp4');
      const found = await assessTake(take, clipPath);
      expect(found.speaker).toBeLessThan(-2);
      expect(found.other).toBeGreaterThan(0.5);
      expect(found.labels).toContain('other_face_speaks');
      expect(found.offsetMs).toBeNull();
    });
  },
);
