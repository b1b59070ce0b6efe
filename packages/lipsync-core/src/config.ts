export { configFromEnvironment, coreSettings, type CoreConfig } from './config/core-config.ts';
export { parseSettings, readEnvironment, type Environment, type Settings } from './config/settings.ts';
export { byteCount, listOf, millisecondsFromSeconds, redisUrl, text, wholeNumber } from './config/setting-types.ts';
