import type { Warning } from '../../contract/provider-types.ts';
import { framesPerSecond, type ClipFacts, type TakeFacts } from '../../media/index.ts';

/** Frame rates within 0.5 % count as equal: 29.97 and 30000/1001. */
const frameRateTolerance = 0.005;

/** HeyGen does not always keep the format of the clip, although every request selects it. */
export function formatWarnings(take: TakeFacts, { width, height, frameRate }: ClipFacts): Warning[] {
  const [rate, takeRate] = [framesPerSecond(frameRate), framesPerSecond(take.frameRate)];
  const hasRate = Math.abs(takeRate / rate - 1) <= frameRateTolerance;
  if (take.width === width && take.height === height && hasRate) return [];
  const takeFormat = `${take.width} × ${take.height} at ${takeRate.toFixed(2)} frames per second`;
  const clipFormat = `${width} × ${height} at ${rate.toFixed(2)}`;
  return [{ code: 'format_changed', message: `HeyGen returned ${takeFormat} instead of ${clipFormat}.` }];
}

export const costWarning: Warning = {
  code: 'cost_estimated',
  message: 'HeyGen did not return the duration of its video, so the cost is the quoted cost of the job.',
};
