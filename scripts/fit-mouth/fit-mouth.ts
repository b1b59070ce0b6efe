/**
 * Fits the mouth model, which maps speech to mouth shapes, to speech of espeak-ng with known phoneme times.
 *
 *   node scripts/fit-mouth/fit-mouth.ts          writes packages/lipsync-core/assets/mouth-model.json, prints figures
 *   node scripts/fit-mouth/fit-mouth.ts judge    prints figures of the current weights on held-out voices and sentences
 *   node scripts/fit-mouth/fit-mouth.ts fixture  writes the held-out utterance that the tests use
 *
 * Requires `espeak-ng`, `libespeak-ng-dev` and a C compiler (Debian: apt-get install espeak-ng libespeak-ng-dev gcc).
 * Deterministic for the same versions. Takes about five minutes on one core.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSession, type OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { voiceModelPath } from '../../packages/lipsync-core/src/audio/index.ts';
import { augment } from './augment.ts';
import { prepareEspeak, type Spoken } from './espeak.ts';
import { makeExample } from './example.ts';
import { printFigures } from './judge.ts';
import { fitNetwork, type Example } from './network.ts';
import { createRandom } from './random.ts';
import { heldOutUtterances, randomUtterance, type Utterance } from './utterances.ts';
import { writeFixture } from './fixture.ts';

const seed = 20_241;
const utteranceCount = 240;
const modelPath = new URL('../../packages/lipsync-core/assets/mouth-model.json', import.meta.url);

async function fit(speak: (utterance: Utterance) => Spoken, voiceSession: OnnxSession): Promise<void> {
  const random = createRandom(seed);
  const examples: Example[] = [];
  for (let i = 0; i < utteranceCount; i++) {
    examples.push(await makeExample(augment(speak(randomUtterance(random)), random), voiceSession));
    if ((i + 1) % 60 === 0) console.error(`spoken ${i + 1} of ${utteranceCount}`);
  }
  const model = fitNetwork(examples, random, {
    offsets: [-12, -8, -5, -3, -1, 1, 3, 5, 8, 12],
    hiddenCount: 32,
    epochs: 10,
    onEpoch: (epoch, meanLoss) => console.error(`epoch ${epoch}: loss ${meanLoss.toFixed(4)}`),
  });
  writeFileSync(modelPath, `${JSON.stringify(model)}\n`);
}

const [mode = 'fit'] = process.argv.slice(2);
if (!['fit', 'judge', 'fixture'].includes(mode))
  throw new Error(`Unknown mode "${mode}". Available: fit, judge, fixture.`);
const folder = mkdtempSync(join(tmpdir(), 'fit-mouth-'));
const voiceSession = await loadSession(voiceModelPath(), { threads: 1 });
try {
  const speak = prepareEspeak(folder);
  if (mode === 'fit') await fit(speak, voiceSession);
  if (mode === 'fixture') writeFixture(speak(heldOutUtterances[0]));
  else await printFigures(heldOutUtterances, speak, voiceSession);
} finally {
  await voiceSession.release();
  rmSync(folder, { recursive: true });
}
