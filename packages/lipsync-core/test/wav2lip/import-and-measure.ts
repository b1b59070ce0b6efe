import { importWav2Lip } from '../../src/providers/wav2lip/model/import-model.ts';

/** Imports a checkpoint in this process and prints what it took: `node import-and-measure.ts CHECKPOINT OUTPUT`. */
const [checkpointPath = '', outputPath = ''] = process.argv.slice(2);
const startMs = performance.now();
await importWav2Lip({ checkpointPath, outputPath, signal: new AbortController().signal });
process.stdout.write(JSON.stringify({ tookMs: performance.now() - startMs, peakBytes: process.resourceUsage().maxRSS * 1024 }));
