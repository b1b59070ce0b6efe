import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { serveStateTasks } from '../../src/testing/state-child.ts';

serveStateTasks(new SqliteStateStore({ path: process.argv[2] ?? '' }));
