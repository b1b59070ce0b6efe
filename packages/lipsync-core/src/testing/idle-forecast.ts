import type { Forecast } from '../scheduling/completion-forecast.ts';

/** Expects nothing and learns nothing; for tests whose plans do not hang on it. */
export const idleForecast: Forecast = Object.freeze({ expect: async () => [], record: async () => undefined });
