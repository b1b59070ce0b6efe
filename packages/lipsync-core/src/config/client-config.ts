import { baseUrl, text, type Settings } from '../contract/setting-types.ts';
import { parseSettings, readEnvironment, type Environment } from './settings.ts';

/** The settings of commands that use a service. */
export const clientSettings = {
  LIPSYNC_SERVER_URL: baseUrl(),
  LIPSYNC_SERVER_KEY: text(''),
} satisfies Settings;

export interface ClientConfig {
  /** Address of the service; empty when it is not set. */
  readonly serverUrl: string;
  /** Secret of an API key; empty when it is not set. */
  readonly serverKey: string;
}

/** Reads the settings of commands that use a service. Throws `request_invalid` with every invalid setting. */
export function clientConfigFromEnvironment(environment: Environment = readEnvironment()): ClientConfig {
  const { LIPSYNC_SERVER_URL: serverUrl, LIPSYNC_SERVER_KEY: serverKey } = parseSettings(clientSettings, environment);
  return { serverUrl, serverKey };
}
