import { serveStateTasks } from '@lipsync/core/testing';
import { createClientConnection, RedisStateStore } from '../src/index.ts';

const connection = createClientConnection({ url: process.argv[2] ?? '', onError: () => undefined });
serveStateTasks(new RedisStateStore({ connection }));
