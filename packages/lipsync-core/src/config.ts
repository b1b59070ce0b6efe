export { configFromEnvironment, coreSettings, listSettings, type CoreConfig } from './config/core-config.ts';
export { parseSettings, readEnvironment, type Environment } from './config/settings.ts';
export {
  age,
  byteCount,
  listOf,
  millisecondsFromSeconds,
  port,
  redisUrl,
  text,
  wholeNumber,
  wholeNumberOrAuto,
  type Settings,
} from './contract/setting-types.ts';
