import Table from 'cli-table3';
import type { OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { analyzeSpeech, analysisSampleRateHz, loadMouthModel } from '../../packages/lipsync-core/src/audio/index.ts';
import { bestLag, energyPerFrame } from '../../packages/lipsync-core/src/testing/sync-metrics.ts';
import type { Spoken } from './espeak.ts';
import { pieces } from './example.ts';
import { joinFigures, phonemeFigures } from './phoneme-figures.ts';
import type { Utterance } from './utterances.ts';

const framesPerSecond = 25;
const plain = { head: [], border: [] };

/** Prints how the current weights perform on utterances with known phoneme times. */
export async function printFigures(
  utterances: readonly Utterance[],
  speak: (utterance: Utterance) => Spoken,
  voiceSession: OnnxSession,
): Promise<void> {
  const mouthModel = await loadMouthModel();
  const table = new Table({
    head: ['voice', 'p b m closed', 'other consonants closed', 'r with energy (lag)'],
    style: plain,
  });
  const all = [];
  for (const utterance of utterances) {
    const { samples, phonemes } = speak(utterance);
    const timeline = {
      frameRate: { numerator: framesPerSecond, denominator: 1 },
      frameCount: Math.round((samples.length / analysisSampleRateHz) * framesPerSecond),
    };
    const { curve } = await analyzeSpeech({
      chunks: pieces(samples),
      timeline,
      voiceSession,
      mouthModel,
      signal: new AbortController().signal,
    });
    const figures = phonemeFigures(curve, phonemes, framesPerSecond);
    const { lag, r } = bestLag(
      energyPerFrame(samples, analysisSampleRateHz, framesPerSecond, timeline.frameCount),
      curve.open,
      3,
    );
    all.push(figures);
    table.push([
      utterance.voice,
      share(figures.bilabialsClosed, figures.bilabials),
      share(figures.othersClosed, figures.others),
      `${r.toFixed(2)} (${lag})`,
    ]);
  }
  const total = joinFigures(all);
  table.push(['all', share(total.bilabialsClosed, total.bilabials), share(total.othersClosed, total.others), '']);
  console.log(table.toString());

  const vowels = new Table({ head: ['vowel', 'count', 'open', 'wide'], style: plain });
  const sorted = [...total.vowels].toSorted(([, a], [, b]) => b.open - a.open);
  for (const [vowel, { count, open, wide }] of sorted) vowels.push([vowel, count, open.toFixed(2), wide.toFixed(2)]);
  console.log(vowels.toString());
}

function share(part: number, whole: number): string {
  return whole === 0 ? 'none' : `${part} of ${whole} (${Math.round((100 * part) / whole)} %)`;
}
