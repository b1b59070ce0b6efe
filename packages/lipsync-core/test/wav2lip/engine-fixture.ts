import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { connectEngine, type EngineClient, type FaceBatch } from '../../src/providers/wav2lip/engine/engine-client.ts';
import type {
  EngineAddress,
  EngineDevice,
  MachineDevice,
  ModelSource,
} from '../../src/providers/wav2lip/engine/engine-address.ts';
import {
  EnginePool,
  type EngineLease,
  type EnginePoolOptions,
} from '../../src/providers/wav2lip/engine/engine-pool.ts';
import { descendantsOf, processTable, type ProcessRow } from '../../src/testing/process-table.ts';

/** Width and height of the crops of test models. */
export const size = 8;
export const crop = size * size * 3;

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'engine-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A model that `write` creates in a new folder. */
export async function modelFrom(write: (path: string) => Promise<unknown>): Promise<ModelSource> {
  const folder = await temporaryFolder();
  const path = join(folder, 'model.onnx');
  await write(path);
  return { path, cacheFolder: join(folder, 'cache') };
}

/** A pool on the CPU, closed after the test. */
export function openPool(options: Partial<EnginePoolOptions> = {}): EnginePool {
  const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

export const cpu: MachineDevice = { name: 'cpu', kind: 'cpu', onnxDevice: { kind: 'cpu' } };

/** A device that the pool treats as a GPU and that runs on the CPU. */
export function pretendGpu(name: string, kind: EngineDevice = 'cuda'): MachineDevice {
  return { name, kind, onnxDevice: { kind: 'cpu' } };
}

/** A GPU that does not exist. */
export function absentGpu(name: string): MachineDevice {
  return { name, kind: 'cuda', onnxDevice: { kind: 'cuda', index: 99 } };
}

export function soon(): AbortSignal {
  return AbortSignal.timeout(55_000);
}

/** A lease from a new pool, closed after the test. */
export async function leaseFrom(
  write: (path: string) => Promise<unknown>,
  options: Partial<EnginePoolOptions> = {},
): Promise<EngineLease> {
  return openPool(options).lease(await modelFrom(write), { signal: soon() });
}

export async function connected(engine: EngineAddress, signal: AbortSignal = soon()): Promise<EngineClient> {
  const client = await connectEngine(engine, { signal });
  onTestFinished(() => client.close());
  return client;
}

/** Faces that all differ, also by `seed`; every mel value is `loudness`. */
export function batchOf(
  count: number,
  { seed = 0, loudness = 0, side = size }: { seed?: number; loudness?: number; side?: number } = {},
): FaceBatch {
  const faces = Uint8Array.from(
    { length: count * side * side * 3 },
    (_, index) => (index * 7 + seed * 31 + Math.floor(index / 255)) % 256,
  );
  return { count, mel: new Float32Array(count * 80 * 16).fill(loudness), faces, references: faces };
}

/** Engine processes below `ancestor`. */
export function enginesBelow(ancestor: number): ProcessRow[] {
  return descendantsOf(ancestor).filter(isEngine);
}

/** Whether an engine with this process id runs, with any parent. */
export function engineRuns(pid: number): boolean {
  return processTable().some((row) => row.pid === pid && isEngine(row));
}

function isEngine({ command }: ProcessRow): boolean {
  return command.includes('engine-process');
}

/** Starts a process that leases an engine for `model`, sends its address, and waits to be killed. */
export async function startHolder(
  model: ModelSource,
): Promise<{ readonly holder: ChildProcess; readonly engine: EngineAddress }> {
  const holder = fork(join(import.meta.dirname, 'engine-holder.ts'), [model.path, model.cacheFolder], { execArgv: [] });
  onTestFinished(() => void holder.kill('SIGKILL'));
  const engine = await new Promise<EngineAddress>((resolve, reject) => {
    holder.once('message', (address) => resolve(address as EngineAddress));
    holder.once('exit', () => reject(new Error('The process that leases an engine ended.')));
  });
  return { holder, engine };
}
