import { importModel } from '../../src/inference/models/import-model.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';

/**
 * Imports a checkpoint and prints CPU time and peak memory as JSON: `node import-and-measure.ts CHECKPOINT
 * OUTPUT`.
 */
const [checkpointPath = '', outputPath = ''] = process.argv.slice(2);
await importModel({ checkpointPath, outputPath, signal: new AbortController().signal }, [wav2lipKind]);
const { user, system } = process.cpuUsage();
process.stdout.write(
  JSON.stringify({ processorMs: (user + system) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 }),
);
