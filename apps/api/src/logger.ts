import { destination, pino, stdSerializers } from 'pino';
import type { Logger } from '@lipsync/core/host';

/** JSON lines on stderr; stdout carries the ready message for the launcher. */
export function createLogger(): Logger {
  return pino({ base: { app: 'api' }, serializers: { error: stdSerializers.err } }, destination(2));
}
