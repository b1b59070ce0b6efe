/**
 * `npm run soak [-- NAME…]`: runs soak tests on the real service. Each prints its results as a table. Exits with 1 when
 * one of them fails.
 */
import { proveApiFuzz } from './soak/api-fuzz.ts';
import { proveBadInputs } from './soak/bad-inputs.ts';
import { proveBatchCap } from './soak/batch-cap.ts';
import { proveBatchKills } from './soak/batch-kills.ts';
import { proveCrowd } from './soak/crowd.ts';
import { proveErasure } from './soak/erasure.ts';
import { proveEqualRequests } from './soak/equal-requests.ts';
import { proveFiles } from './soak/files.ts';
import { proveFingerprints } from './soak/fingerprints.ts';
import { proveFullOutputs } from './soak/full-outputs.ts';
import { proveHeygenBreaker } from './soak/heygen-breaker.ts';
import { proveHeygenCancels } from './soak/heygen-cancels.ts';
import { proveHeygenFaults } from './soak/heygen-faults.ts';
import { proveHeygenKey } from './soak/heygen-key.ts';
import { proveHeygenKills } from './soak/heygen-kills.ts';
import { proveHeygenWaiting } from './soak/heygen-waiting.ts';
import { proveJobLists } from './soak/job-lists.ts';
import { proveKills } from './soak/kills.ts';
import { proveMachines } from './soak/machines.ts';
import { proveMarkingSize } from './soak/marking-size.ts';
import { proveMemory, proveWav2LipMemory } from './soak/memory.ts';
import { proveObjectSize } from './soak/object-size.ts';
import { provePacked } from './soak/packed.ts';
import { proveQualityOfClips } from './soak/quality-clips.ts';
import { proveQualityControls } from './soak/quality-controls.ts';
import { proveQualityGate } from './soak/quality-gate.ts';
import { proveQualityFaults } from './soak/quality-faults.ts';
import { proveRestore } from './soak/restore.ts';
import { proveScaling } from './soak/scaling.ts';
import { proveSegments } from './soak/segments.ts';
import { proveSlowUrls } from './soak/slow-urls.ts';
import { proveSyncOffsets } from './soak/sync-offsets.ts';
import { proveTakeover } from './soak/takeover.ts';
import { proveTrace } from './soak/trace.ts';
import { proveWav2LipSync } from './soak/wav2lip-sync.ts';
import { proveWebhooks } from './soak/webhooks.ts';

const proofs: Readonly<Record<string, () => Promise<boolean>>> = {
  'api-fuzz': proveApiFuzz,
  'bad-inputs': proveBadInputs,
  'batch-cap': proveBatchCap,
  'batch-kills': proveBatchKills,
  kills: proveKills,
  crowd: proveCrowd,
  erasure: proveErasure,
  'equal-requests': proveEqualRequests,
  files: proveFiles,
  fingerprints: proveFingerprints,
  'full-outputs': proveFullOutputs,
  machines: proveMachines,
  'marking-size': proveMarkingSize,
  memory: proveMemory,
  'heygen-breaker': proveHeygenBreaker,
  'heygen-cancels': proveHeygenCancels,
  'heygen-faults': proveHeygenFaults,
  'heygen-key': proveHeygenKey,
  'heygen-kills': proveHeygenKills,
  'heygen-waiting': proveHeygenWaiting,
  'job-lists': proveJobLists,
  'object-size': proveObjectSize,
  packed: provePacked,
  'quality-gate': proveQualityGate,
  'quality-clips': proveQualityOfClips,
  'quality-controls': proveQualityControls,
  'quality-faults': proveQualityFaults,
  restore: proveRestore,
  scaling: proveScaling,
  segments: proveSegments,
  'slow-urls': proveSlowUrls,
  'sync-offsets': proveSyncOffsets,
  takeover: proveTakeover,
  trace: proveTrace,
  'wav2lip-sync': proveWav2LipSync,
  'wav2lip-memory': proveWav2LipMemory,
  webhooks: proveWebhooks,
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(proofs);
const unknown = names.filter((name) => !Object.hasOwn(proofs, name));
if (unknown.length > 0) {
  console.error(`Unknown soak test: ${unknown.join(', ')}. Available: ${Object.keys(proofs).join(', ')}.`);
  process.exitCode = 2;
} else await runAll();

async function runAll(): Promise<void> {
  for (const name of names) {
    console.log(`\n## ${name}\n`);
    const holds = await proofs[name]?.();
    console.log(`\n${name}: ${holds ? 'holds' : 'DOES NOT HOLD'}`);
    if (!holds) process.exitCode = 1;
  }
}
