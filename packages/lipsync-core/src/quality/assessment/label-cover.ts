import { halved, planesOf, type PixelArea, type Picture, type Plane } from '../../image/planes.ts';
import { labelAreaOf, labelEndMs, type TakeLabel } from '../../media/index.ts';

/**
 * Replaces the label of a take by what its source shows there, so that no measurement counts it. Changes `take` in
 * place. Without a source picture of the same size, nothing is compared, and the take stays as it is.
 */
export function coverLabel(
  label: TakeLabel | undefined,
  timeMs: number,
  { take, source }: { readonly take: Picture; readonly source: Picture | undefined },
): void {
  if (!label || !source || timeMs >= labelEndMs) return;
  if (source.width !== take.width || source.height !== take.height) return;
  const area = labelAreaOf(label, take);
  const [target, origin] = [planesOf(take), planesOf(source)];
  copyArea(target.luma, origin.luma, area);
  copyArea(target.cb, origin.cb, halved(area));
  copyArea(target.cr, origin.cr, halved(area));
}

function copyArea(target: Plane, source: Plane, { left, top, right, bottom }: Readonly<PixelArea>): void {
  for (let row = top; row < bottom; row += 1) {
    const start = row * target.width;
    const from = source.start + start;
    target.data.set(source.data.subarray(from + left, from + right), target.start + start + left);
  }
}
