/**
 * `node scripts/bench/compare-forms.ts [BATCH [ROUNDS]]`: compares the CPU time per face of the two forms of the
 * full-size model. CPU time is comparable even on a busy machine; the forms run in turn.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSession, type OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';

const [batch = 8, rounds = 8] = process.argv.slice(2).map(Number);

async function measureCpuMs(session: OnnxSession): Promise<number> {
  const before = process.cpuUsage();
  await session.run({
    mel_spectrogram: { type: 'float32', data: new Float32Array(batch * 80 * 16), dims: [batch, 1, 80, 16] },
    video_frames: { type: 'float32', data: new Float32Array(batch * 6 * 96 * 96).fill(0.5), dims: [batch, 6, 96, 96] },
  });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const folder = await mkdtemp(join(tmpdir(), 'lipsync-forms-'));
try {
  const forms: { readonly form: string; readonly session: OnnxSession; readonly costs: number[] }[] = [];
  for (const form of ['plain', 'rewritten']) {
    const path = join(folder, `${form}.onnx`);
    await writeSeededWav2Lip(path, { widthDivisor: 1, seed: 1, plain: form === 'plain' });
    const session = await loadSession(path, { threads: availableParallelism(), spinning: false });
    await measureCpuMs(session);
    forms.push({ form, session, costs: [] });
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const { session, costs } of forms) costs.push((await measureCpuMs(session)) / batch);
  }
  for (const { form, session, costs } of forms) {
    const sorted = costs.toSorted((left, right) => left - right);
    console.log(
      `${form}: ${sorted[0]?.toFixed(1)} ms of CPU time per face at minimum, ${sorted[sorted.length >> 1]?.toFixed(1)} median`,
    );
    await session.release();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
