import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CoreConfig } from '../config/core-config.ts';
import { SqliteStateStore } from '../storage/sqlite-state-store.ts';

/** The state of programs and of the command line, in the data folder. The caller closes it. */
export function openLocalState(config: Pick<CoreConfig, 'dataDir'>): SqliteStateStore {
  return new SqliteStateStore({ path: pathOf(config) });
}

/** As `openLocalState`, for reading: undefined where nothing is stored yet, so that no file is created. */
export function findLocalState(config: Pick<CoreConfig, 'dataDir'>): SqliteStateStore | undefined {
  return existsSync(pathOf(config)) ? openLocalState(config) : undefined;
}

function pathOf({ dataDir }: Pick<CoreConfig, 'dataDir'>): string {
  return join(dataDir, 'state.sqlite');
}
