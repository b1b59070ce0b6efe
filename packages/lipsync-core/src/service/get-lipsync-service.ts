import { join } from 'node:path';
import { configFromEnvironment, type CoreConfig } from '../config.ts';
import { createSqliteStateStore } from '../state/sqlite-state-store.ts';
import { createIdSource, systemClock } from '../ports/system-ports.ts';
import { createLipsyncCore } from '../wiring.ts';
import { createLipsyncService, type LipsyncService } from './lipsync-service.ts';
import { createLocalJobs, type LocalJobs } from './local-jobs.ts';
import { createOutputFiles } from './output-file.ts';
import { createUnfinishedJobs } from './unfinished-jobs.ts';

/** In-process jobs on a core built from `config`; `close` ends what they started. */
export function createLocalHost(config: CoreConfig): { readonly localJobs: LocalJobs; close(): Promise<void> } {
  const state = createSqliteStateStore({ path: join(config.dataDir, 'state.sqlite') });
  const core = createLipsyncCore(config, { state });
  const localJobs = createLocalJobs({
    pipeline: core.pipeline,
    workFolder: core.workFolder,
    outputFiles: createOutputFiles(),
    unfinished: createUnfinishedJobs({ state }),
    clock: systemClock,
    ids: createIdSource(systemClock),
  });
  return {
    localJobs,
    async close() {
      await core.close();
      await state.close();
    },
  };
}

let shared: LipsyncService | undefined;

/**
 * The service shared by this whole program; the first call builds it. Settings come from the environment and `.env`,
 * `options` override them and count on the first call only. After `close()` the next call builds a new one.
 * Throws `request_invalid` when a setting cannot be understood.
 */
export function getLipsyncService(options: Partial<CoreConfig> = {}): LipsyncService {
  if (shared) return shared;
  const host = createLocalHost({ ...configFromEnvironment(), ...options });
  const service = createLipsyncService({
    localJobs: host.localJobs,
    async close() {
      if (shared === service) shared = undefined;
      await host.close();
    },
  });
  shared = service;
  return service;
}
