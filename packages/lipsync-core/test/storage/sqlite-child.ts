import { createSqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { serveStateTasks } from '../../src/testing/state-child.ts';

serveStateTasks(createSqliteStateStore({ path: process.argv[2] ?? '' }));
