/**
 * `node scripts/bench/compare-forms.ts [BATCH [ROUNDS]]`: compares the time per face of the two forms of the full-size
 * model, and of the start rows of the second. CPU time is comparable even on a busy machine; all run in turn.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSession, type OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import {
  startRowInputName,
  startRows,
  startRowTensor,
} from '../../packages/lipsync-core/src/providers/wav2lip/model/start-rows.ts';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';

const [batch = 8, rounds = 8] = process.argv.slice(2).map(Number);

interface Times {
  readonly cpuMs: number;
  readonly wallMs: number;
}

/** Time per face of one run; `startRow` is null for a model without this input. */
async function measure(session: OnnxSession, startRow: number | null): Promise<Times> {
  const before = process.cpuUsage();
  const startedMs = performance.now();
  await session.run({
    mel_spectrogram: { type: 'float32', data: new Float32Array(batch * 80 * 16), dims: [batch, 1, 80, 16] },
    video_frames: { type: 'float32', data: new Float32Array(batch * 6 * 96 * 96).fill(0.5), dims: [batch, 6, 96, 96] },
    ...(startRow === null ? {} : { [startRowInputName]: startRowTensor(startRow) }),
  });
  const { user, system } = process.cpuUsage(before);
  return { cpuMs: (user + system) / 1000 / batch, wallMs: (performance.now() - startedMs) / batch };
}

function median(values: readonly number[]): string {
  return values.toSorted((left, right) => left - right)[values.length >> 1]?.toFixed(1) ?? '';
}

const folder = await mkdtemp(join(tmpdir(), 'lipsync-forms-'));
const sessions: OnnxSession[] = [];
try {
  const open = async (plain: boolean): Promise<OnnxSession> => {
    const path = join(folder, `${plain}.onnx`);
    await writeSeededWav2Lip(path, { widthDivisor: 1, seed: 1, plain });
    const session = await loadSession(path, { threads: availableParallelism(), spinning: false });
    sessions.push(session);
    return session;
  };
  const plain = await open(true);
  const rewritten = await open(false);
  const runs = [
    { name: 'plain', session: plain, startRow: null, times: [] as Times[] },
    ...startRows.map((startRow) => ({
      name: `rewritten, from row ${startRow}`,
      session: rewritten,
      startRow,
      times: [] as Times[],
    })),
  ];
  for (const { session, startRow } of runs) await measure(session, startRow);
  for (let round = 0; round < rounds; round += 1) {
    for (const { session, startRow, times } of runs) times.push(await measure(session, startRow));
  }
  for (const { name, times } of runs) {
    const [cpuMs, wallMs] = [times.map((one) => one.cpuMs), times.map((one) => one.wallMs)].map(median);
    console.log(`${name}: ${cpuMs} ms of CPU time per face, ${wallMs} ms of wall time, medians of ${rounds} runs`);
  }
} finally {
  for (const session of sessions) await session.release();
  await rm(folder, { recursive: true, force: true });
}
