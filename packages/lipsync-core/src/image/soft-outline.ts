/** A closed outline of straight edges whose border is soft, by an own width at each corner. */
export interface SoftOutline {
  readonly cornerX: Float64Array;
  readonly cornerY: Float64Array;
  /** How far inside the outline the cover becomes full, and how far outside it ends, at each corner. */
  readonly inner: Float64Array;
  readonly outer: Float64Array;
  /** Worked out of the corners by `layEdges`. */
  readonly edges: Float64Array;
}

export interface OutlineSample {
  /** 1 well inside, 0 well outside, level at both ends of the way between. */
  cover: number;
  inside: boolean;
}

export function createSoftOutline(corners: number): SoftOutline {
  return {
    cornerX: new Float64Array(corners),
    cornerY: new Float64Array(corners),
    inner: new Float64Array(corners),
    outer: new Float64Array(corners),
    edges: new Float64Array(corners * edgeValues),
  };
}

/** Values that are kept for the edge that ends in a corner: where it begins, where it goes, one over its squared length, and how far it goes across per step down. */
const edgeValues = 6;

/** Works the edges out; to be called after corners were moved. */
export function layEdges({ cornerX, cornerY, edges }: SoftOutline): void {
  let fromX = cornerX.at(-1) ?? 0;
  let fromY = cornerY.at(-1) ?? 0;
  for (let corner = 0; corner < cornerX.length; corner += 1) {
    const toX = cornerX[corner] ?? 0;
    const toY = cornerY[corner] ?? 0;
    const edgeX = toX - fromX;
    const edgeY = toY - fromY;
    const index = corner * edgeValues;
    edges[index] = fromX;
    edges[index + 1] = fromY;
    edges[index + 2] = edgeX;
    edges[index + 3] = edgeY;
    edges[index + 4] = 1 / (edgeX * edgeX + edgeY * edgeY + Number.EPSILON);
    edges[index + 5] = edgeY === 0 ? 0 : edgeX / edgeY;
    fromX = toX;
    fromY = toY;
  }
}

/** Looks up a place. Where the outline crosses itself, places are inside by the even-odd rule. */
export function sampleOutline({ inner, outer, edges }: SoftOutline, x: number, y: number, sample: OutlineSample): void {
  let nearest = Infinity;
  let nearestEdge = 0;
  let nearestShare = 0;
  let inside = false;
  for (let index = 0; index < edges.length; index += edgeValues) {
    const offX = x - (edges[index] ?? 0);
    const offY = y - (edges[index + 1] ?? 0);
    const edgeX = edges[index + 2] ?? 0;
    const edgeY = edges[index + 3] ?? 0;
    let share = (offX * edgeX + offY * edgeY) * (edges[index + 4] ?? 0);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    const distanceX = offX - share * edgeX;
    const distanceY = offY - share * edgeY;
    const squared = distanceX * distanceX + distanceY * distanceY;
    if (squared < nearest) {
      nearest = squared;
      nearestEdge = index;
      nearestShare = share;
    }
    if (offY < 0 !== edgeY > offY && offX < offY * (edges[index + 5] ?? 0)) inside = !inside;
  }
  const corner = nearestEdge / edgeValues;
  const before = (corner + inner.length - 1) % inner.length;
  const within = (inner[before] ?? 0) * (1 - nearestShare) + (inner[corner] ?? 0) * nearestShare;
  const beyond = (outer[before] ?? 0) * (1 - nearestShare) + (outer[corner] ?? 0) * nearestShare;
  const depth = inside ? Math.sqrt(nearest) : -Math.sqrt(nearest);
  const way = Math.min(1, Math.max(0, (depth + beyond) / (within + beyond)));
  sample.inside = inside;
  sample.cover = way * way * (3 - 2 * way);
}
