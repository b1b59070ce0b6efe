import { randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createAuthority, createSigner } from '../../packages/lipsync-core/src/marking/certificate-authority.ts';
import { OriginReader } from '../../packages/lipsync-core/src/marking/origin-reader.ts';
import { OutputMarker } from '../../packages/lipsync-core/src/marking/output-marker.ts';
import { RenderProcessPool } from '../../packages/lipsync-core/src/processes/render-pool.ts';
import { descendantsOf } from '../../packages/lipsync-core/src/testing/process-table.ts';

/** Sizes of the signed files in megabytes. */
const sizesMb = (process.env['SOAK_MARKING_MB'] ?? '10,200,1000').split(',').map(Number);
/** Memory does not grow with the file. */
const allowedMib = 256;
const megabyte = 1_000_000;

/** Signs files of several sizes, each in a process of its own, and measures its peak memory and the time. */
export async function proveMarkingSize(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-marking-'));
  try {
    const authority = await createAuthority(Date.now());
    const signer = await createSigner(authority, Date.now());
    const reader = new OriginReader({ listAuthorities: async () => authority.certificates });
    const signal = AbortSignal.timeout(30 * 60_000);
    console.log(
      '| file, MB | peak memory of the process, MiB | time, s | added, bytes | state |\n|---|---|---|---|---|',
    );
    let holds = true;
    for (const sizeMb of sizesMb) {
      const takePath = await makeFile(folder, sizeMb * megabyte);
      const pool = new RenderProcessPool({ keepWarm: 1, idleMs: 60_000, silenceLimitMs: 15 * 60_000 });
      try {
        const marker = new OutputMarker({
          renderPool: pool,
          clock: { nowMs: () => Date.now() },
          version: '0',
          isRequired: true,
          withXmp: true,
          aigcProducer: null,
          timeStampAuthority: null,
          identity: async () => signer,
          modelDigestOf: async () => null,
        });
        const take = { takePath, provider: 'preview', clipPath: null, speechPath: null };
        const startedMs = performance.now();
        const { path } = await marker.mark(take, signal);
        const seconds = (performance.now() - startedMs) / 1000;
        const peakMib = await peakOfChildrenMib();
        const { state } = await reader.read(path, signal);
        const added = (await stat(path)).size - (await stat(takePath)).size;
        console.log(`| ${sizeMb} | ${Math.round(peakMib)} | ${seconds.toFixed(1)} | ${added} | ${state} |`);
        holds &&= state === 'valid' && peakMib <= allowedMib;
        await rm(path);
      } finally {
        await pool.close();
      }
    }
    return holds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A video of one second, and random bytes in a box of media behind it. */
async function makeFile(folder: string, sizeBytes: number): Promise<string> {
  const path = join(folder, 'take.mp4');
  const encode = ['-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', '-c:v', 'libx264', '-movflags', '+faststart'];
  await promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...encode, path]);
  const file = await open(path, 'a');
  try {
    const boxBytes = sizeBytes - (await file.stat()).size;
    const header = Buffer.alloc(8);
    header.writeUInt32BE(boxBytes, 0);
    header.write('mdat', 4, 'latin1');
    await file.appendFile(header);
    const chunk = randomBytes(megabyte);
    for (let left = boxBytes - header.length; left > 0; left -= chunk.length)
      await file.appendFile(chunk.subarray(0, Math.min(left, chunk.length)));
  } finally {
    await file.close();
  }
  return path;
}

/** Highest resident memory that a child of this process has had (Linux). */
async function peakOfChildrenMib(): Promise<number> {
  const peaks = descendantsOf(process.pid).map(async ({ pid }) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  });
  return Math.max(...(await Promise.all(peaks)));
}
