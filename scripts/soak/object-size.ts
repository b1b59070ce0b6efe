import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startTestS3 } from '../../packages/lipsync-core/src/testing/test-s3.ts';
import { storeReportSchema, type StoreReport } from './store-object.ts';

/** Sizes of the stored objects in MiB. */
const sizesMib = (process.env['SOAK_OBJECT_MIB'] ?? '10,5120').split(',').map(Number);
/** Memory does not grow with the object. */
const allowedGrowthMib = 160;
const timeoutMs = 30 * 60_000;

/**
 * Stores objects of several sizes as inputs, makes them local, publishes them as outputs and reads them back, each in a
 * process of its own, in folders and in S3 (s3rver behind a proxy). Prints the peak memory of that process.
 */
export async function proveObjectSize(): Promise<boolean> {
  console.log(
    '| store | object, MiB | memory at first, MiB | peak, MiB | put, s | made local, s | published, s | read, s | equal |\n' +
      '|---|---|---|---|---|---|---|---|---|',
  );
  let holds = true;
  for (const driver of ['file', 's3'] as const)
    for (const sizeMib of sizesMib) {
      const report = await measure(driver, sizeMib);
      const times = [report.putS, report.materializeS, report.publishS, report.readS].map((s) => s.toFixed(1));
      console.log(
        `| ${[driver, sizeMib, Math.round(report.firstMib), Math.round(report.peakMib), ...times].join(' | ')} | ${report.isEqual ? 'yes' : 'NO'} |`,
      );
      holds &&= report.isEqual && report.peakMib - report.firstMib <= allowedGrowthMib;
    }
  return holds;
}

async function measure(driver: 'file' | 's3', sizeMib: number): Promise<StoreReport> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-objects-'));
  const s3 = driver === 's3' ? await startTestS3() : undefined;
  try {
    const env = {
      ...process.env,
      LIPSYNC_ARTIFACT_STORE: 'file',
      ...s3?.environment('objects/'),
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
    };
    const script = join(import.meta.dirname, 'store-object.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [script, String(sizeMib), folder], {
      env,
      timeout: timeoutMs,
    });
    return storeReportSchema.parse(JSON.parse(stdout));
  } finally {
    await s3?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
