import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { readProcessMemory } from '../processes/process-memory.ts';
import type { ArtifactStore, StoredArtifact } from '../storage/artifact-store.ts';

export interface ProcessMetricsOptions {
  readonly role: 'api' | 'worker';
  readonly artifacts: ArtifactStore;
}

export interface ProcessMetrics {
  /** Metrics of this process, and those that the host adds. */
  readonly registry: Registry;
  /** The store, with what this process writes to it counted. */
  readonly artifacts: ArtifactStore;
}

/** Metrics that each process of the service reports about itself, with the defaults of Node. */
export function createProcessMetrics({ role, artifacts }: ProcessMetricsOptions): ProcessMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const memory = new Gauge({
    name: 'lipsync_process_memory_bytes',
    help: 'Resident memory of this process and of its child processes by role.',
    labelNames: ['role'],
    registers: [registry],
    async collect() {
      memory.reset();
      for (const process of await readProcessMemory()) {
        memory.set({ role: process.role === 'self' ? role : process.role }, process.residentBytes);
      }
    },
  });
  const free = new Gauge({
    name: 'lipsync_storage_free_bytes',
    help: 'Free space of the artifact store, where it has a limit.',
    labelNames: ['folder'],
    registers: [registry],
    async collect() {
      free.reset();
      const health = await artifacts.health();
      for (const folder of ['inputs', 'outputs'] as const) {
        const { freeBytes } = health[folder];
        if (freeBytes !== null) free.set({ folder }, freeBytes);
      }
    },
  });
  const written = new Counter({
    name: 'lipsync_artifact_written_bytes_total',
    help: 'Bytes that this process stored in the artifact store.',
    labelNames: ['folder'],
    registers: [registry],
  });
  for (const folder of ['inputs', 'outputs']) written.inc({ folder }, 0);
  return { registry, artifacts: countWrites(artifacts, (folder, bytes) => written.inc({ folder }, bytes)) };
}

function countWrites(
  artifacts: ArtifactStore,
  onWritten: (folder: 'inputs' | 'outputs', sizeBytes: number) => void,
): ArtifactStore {
  const count = async (folder: 'inputs' | 'outputs', stored: Promise<StoredArtifact>): Promise<StoredArtifact> => {
    const artifact = await stored;
    onWritten(folder, artifact.sizeBytes);
    return artifact;
  };
  const counted: Pick<ArtifactStore, 'putInput' | 'publish'> = {
    putInput: (content, options) => count('inputs', artifacts.putInput(content, options)),
    publish: (localPath, key, signal) => count('outputs', artifacts.publish(localPath, key, signal)),
  };
  return new Proxy(artifacts, {
    get(target, name) {
      if (name === 'putInput' || name === 'publish') return counted[name];
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
