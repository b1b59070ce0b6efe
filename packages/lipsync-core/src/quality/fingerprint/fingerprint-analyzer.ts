import { FingerprintBuilder } from '../../fingerprint/fingerprint.ts';
import type { Analyzer, AnalyzerDefinition, AnalyzerSetup, AssessedFrame, Findings } from '../analyzer.ts';

/** Makes the fingerprint of a take from the frames and the sound that are decoded for its quality. Has no parts. */
export const fingerprintAnalyzer: AnalyzerDefinition = {
  name: 'fingerprint',
  parts: [],
  labels: [],
  create: (setup) => (setup.input.withFingerprint ? new FingerprintAnalyzer(setup) : undefined),
};

class FingerprintAnalyzer implements Analyzer {
  readonly #builder = new FingerprintBuilder();

  constructor({ sound }: AnalyzerSetup) {
    sound.listen(async (chunk) => this.#builder.addSound(chunk));
  }

  add({ timeMs, picture, points }: AssessedFrame): void {
    this.#builder.addFrame(timeMs, picture, points);
  }

  finish(): Findings {
    return { fingerprint: this.#builder.finish() };
  }
}
