import { serveStateTasks } from '@lipsync/core/testing';
import { createClientConnection, createRedisStateStore } from '../src/index.ts';

const connection = createClientConnection({ url: process.argv[2] ?? '', onError: () => undefined });
serveStateTasks(createRedisStateStore({ connection }));
