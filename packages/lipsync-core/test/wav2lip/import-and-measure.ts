import { importWav2Lip } from '../../src/providers/wav2lip/model/import-model.ts';

/**
 * Imports a checkpoint and prints processor time and peak memory as JSON: `node import-and-measure.ts CHECKPOINT
 * OUTPUT`.
 */
const [checkpointPath = '', outputPath = ''] = process.argv.slice(2);
await importWav2Lip({ checkpointPath, outputPath, signal: new AbortController().signal });
const { user, system } = process.cpuUsage();
process.stdout.write(
  JSON.stringify({ processorMs: (user + system) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 }),
);
