import { join } from 'node:path';
import type { QualityPart } from '../../src/contract/quality.ts';
import { RenderResources } from '../../src/processes/render-task.ts';
import type { Findings } from '../../src/quality/analyzer.ts';
import { SoundFeed } from '../../src/quality/lips/sound-feed.ts';
import { measureVideoSpeech } from '../../src/quality/lips/video-speech.ts';
import { limits } from '../media/make-media.ts';
import { soundAnalyzer } from '../../src/quality/sound/sound-analyzer.ts';

const resources = new RenderResources();
const facts = { hasSound: true, frameRate: { numerator: 25, denominator: 1 }, frameCount: 1 } as const;

export interface MeasuredSound {
  readonly parts: Readonly<Record<string, QualityPart>>;
  readonly labels: NonNullable<Findings['labels']>;
  readonly findings: Findings;
}

/** Runs the analyzer of sound on a file. */
export async function measureFile(
  path: string,
  options: { readonly speechPath?: string; readonly dnsmosPath?: string } = {},
): Promise<MeasuredSound> {
  const { signal } = new AbortController();
  const sound = await SoundFeed.open(path, signal);
  const speech =
    options.speechPath === undefined
      ? undefined
      : { path: options.speechPath, sound: { streamIndex: 0 }, mouthCurvePath: '' };
  const analyzer = await soundAnalyzer.create({
    input: { videoPath: path, speech, trackCacheFolder: '', workFolder: '' },
    models: { dnsmosPath: options.dnsmosPath },
    // `as`: the analyzer reads nothing else of the facts.
    facts: facts as never,
    framesPerSecond: 25,
    frameCount: 0,
    resources,
    signal,
    faces: undefined as never,
    sound,
    limits,
  });
  const findings = await analyzer?.finish(await measureVideoSpeech(sound, facts, { resources, signal }));
  return { parts: findings?.parts ?? {}, labels: findings?.labels ?? [], findings: findings ?? {} };
}

export const codesOf = ({ labels }: MeasuredSound): string[] => labels.map(({ code }) => code);

export const samplesFolder = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
