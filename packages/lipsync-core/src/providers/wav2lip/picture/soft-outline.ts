/** A closed outline of straight edges whose border is soft, by an own width at each corner. */
export interface SoftOutline {
  readonly cornerX: Float64Array;
  readonly cornerY: Float64Array;
  /** How far inside the outline the cover becomes full, and how far outside it ends, at each corner. */
  readonly inner: Float64Array;
  readonly outer: Float64Array;
}

export interface OutlineSample {
  /** 1 well inside, 0 well outside, level at both ends of the way between. */
  cover: number;
  inside: boolean;
}

export function createSoftOutline(corners: number): SoftOutline {
  return { cornerX: new Float64Array(corners), cornerY: new Float64Array(corners), inner: new Float64Array(corners), outer: new Float64Array(corners) };
}

/** Looks up a place. Where the outline crosses itself, places are inside by the even-odd rule. */
export function sampleOutline({ cornerX, cornerY, inner, outer }: SoftOutline, x: number, y: number, sample: OutlineSample): void {
  const corners = cornerX.length;
  let nearest = Infinity;
  let nearestEdge = 0;
  let nearestShare = 0;
  let inside = false;
  let fromX = cornerX[corners - 1] ?? 0;
  let fromY = cornerY[corners - 1] ?? 0;
  for (let corner = 0; corner < corners; corner += 1) {
    const toX = cornerX[corner] ?? 0;
    const toY = cornerY[corner] ?? 0;
    const edgeX = toX - fromX;
    const edgeY = toY - fromY;
    const offX = x - fromX;
    const offY = y - fromY;
    let share = (offX * edgeX + offY * edgeY) / (edgeX * edgeX + edgeY * edgeY + Number.MIN_VALUE);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    const distanceX = offX - share * edgeX;
    const distanceY = offY - share * edgeY;
    const squared = distanceX * distanceX + distanceY * distanceY;
    if (squared < nearest) {
      nearest = squared;
      nearestEdge = corner;
      nearestShare = share;
    }
    if (fromY > y !== toY > y && offX < (offY * edgeX) / edgeY) inside = !inside;
    fromX = toX;
    fromY = toY;
  }
  const before = (nearestEdge + corners - 1) % corners;
  const within = (inner[before] ?? 0) * (1 - nearestShare) + (inner[nearestEdge] ?? 0) * nearestShare;
  const beyond = (outer[before] ?? 0) * (1 - nearestShare) + (outer[nearestEdge] ?? 0) * nearestShare;
  const depth = inside ? Math.sqrt(nearest) : -Math.sqrt(nearest);
  const way = Math.min(1, Math.max(0, (depth + beyond) / (within + beyond)));
  sample.inside = inside;
  sample.cover = way * way * (3 - 2 * way);
}
