import type { Forecast } from '../scheduling/completion-forecast.ts';

/** A forecast without estimates, for tests whose plans do not depend on it. */
export const idleForecast: Forecast = Object.freeze({ expect: async () => [], record: async () => undefined });
