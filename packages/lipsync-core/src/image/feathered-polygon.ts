/** Coverage of a point, written by `FeatheredPolygon.sample`. */
export interface CoverageSample {
  /** 1 well inside, 0 well outside, with a smooth step between. */
  coverage: number;
  inside: boolean;
}

/** Values per edge in `#edges`: start x and y, direction x and y, 1 / squared length, and x change per y. */
const valuesPerEdge = 6;

/**
 * A closed polygon with a soft border whose width is set per vertex. Vertices are moved in place, then `updateEdges` is
 * called.
 */
export class FeatheredPolygon {
  readonly vertexX: Float64Array;
  readonly vertexY: Float64Array;
  /** Distance inside the polygon at which the coverage reaches 1, and outside it at which it reaches 0, per vertex. */
  readonly innerFeather: Float64Array;
  readonly outerFeather: Float64Array;
  readonly #edges: Float64Array;

  constructor(vertexCount: number) {
    this.vertexX = new Float64Array(vertexCount);
    this.vertexY = new Float64Array(vertexCount);
    this.innerFeather = new Float64Array(vertexCount);
    this.outerFeather = new Float64Array(vertexCount);
    this.#edges = new Float64Array(vertexCount * valuesPerEdge);
  }

  /** Recomputes the edges from the vertices. Edge n ends in vertex n. */
  updateEdges(): void {
    const { vertexX, vertexY } = this;
    const edges = this.#edges;
    let fromX = vertexX.at(-1) ?? 0;
    let fromY = vertexY.at(-1) ?? 0;
    for (let vertex = 0; vertex < vertexX.length; vertex += 1) {
      const toX = vertexX[vertex] ?? 0;
      const toY = vertexY[vertex] ?? 0;
      const edgeX = toX - fromX;
      const edgeY = toY - fromY;
      const index = vertex * valuesPerEdge;
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

  /** Writes the coverage at a point. Self-intersections follow the even-odd rule. */
  sample(x: number, y: number, sample: CoverageSample): void {
    const edges = this.#edges;
    let nearestSquared = Infinity;
    let nearestEdge = 0;
    let nearestFraction = 0;
    let inside = false;
    for (let index = 0; index < edges.length; index += valuesPerEdge) {
      const offX = x - (edges[index] ?? 0);
      const offY = y - (edges[index + 1] ?? 0);
      const edgeX = edges[index + 2] ?? 0;
      const edgeY = edges[index + 3] ?? 0;
      let fraction = (offX * edgeX + offY * edgeY) * (edges[index + 4] ?? 0);
      fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
      const distanceX = offX - fraction * edgeX;
      const distanceY = offY - fraction * edgeY;
      const squared = distanceX * distanceX + distanceY * distanceY;
      if (squared < nearestSquared) {
        nearestSquared = squared;
        nearestEdge = index;
        nearestFraction = fraction;
      }
      if (offY < 0 !== edgeY > offY && offX < offY * (edges[index + 5] ?? 0)) inside = !inside;
    }
    const vertex = nearestEdge / valuesPerEdge;
    const inner = this.#interpolate(this.innerFeather, vertex, nearestFraction);
    const outer = this.#interpolate(this.outerFeather, vertex, nearestFraction);
    const depth = inside ? Math.sqrt(nearestSquared) : -Math.sqrt(nearestSquared);
    const t = Math.min(1, Math.max(0, (depth + outer) / (inner + outer)));
    sample.inside = inside;
    sample.coverage = t * t * (3 - 2 * t);
  }

  /** A per-vertex value at a fraction of the edge that ends in `vertex`. */
  #interpolate(values: Float64Array, vertex: number, fraction: number): number {
    const before = (vertex + values.length - 1) % values.length;
    return (values[before] ?? 0) * (1 - fraction) + (values[vertex] ?? 0) * fraction;
  }
}
