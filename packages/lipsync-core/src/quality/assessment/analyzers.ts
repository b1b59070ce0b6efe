import type { AnalyzerDefinition } from '../analyzer.ts';
import { fingerprintAnalyzer } from '../fingerprint/fingerprint-analyzer.ts';
import { faceAnalyzer } from '../lips/face-labels.ts';
import { lipAnalyzer } from '../lips/lip-analyzer.ts';
import { pictureAnalyzer } from '../picture/picture-analyzer.ts';
import { pictureCollector } from '../report/picture-collector.ts';
import { speakerAnalyzer } from '../speaker/speaker-analyzer.ts';
import { soundAnalyzer } from '../sound/sound-analyzer.ts';
import { syncNetAnalyzer } from '../syncnet/syncnet-analyzer.ts';
import { unchangedLipsAnalyzer } from '../unchanged-lips/unchanged-lips-analyzer.ts';

/** Every analyzer, in the order in which findings are merged: a later one overrides `sync` of an earlier one. */
export const analyzers: readonly AnalyzerDefinition[] = [
  faceAnalyzer,
  lipAnalyzer,
  unchangedLipsAnalyzer,
  pictureAnalyzer,
  speakerAnalyzer,
  soundAnalyzer,
  syncNetAnalyzer,
  pictureCollector,
  fingerprintAnalyzer,
];
