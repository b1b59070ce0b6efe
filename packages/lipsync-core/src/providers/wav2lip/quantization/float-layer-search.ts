import type { DrawingError } from './drawing-error.ts';

/** A layer that may be computed in eight bits. */
export interface SearchedLayer {
  readonly name: string;
  /** Multiplications per face, to which the time that eight bits save is proportional. */
  readonly multiplications: number;
}

/** One row of the error table. */
export interface SearchStep extends DrawingError {
  readonly floatLayers: number;
}

export interface SearchResult {
  readonly floatLayers: readonly string[];
  readonly error: DrawingError;
  /** Every number of float layers that was tried, ascending. */
  readonly steps: readonly SearchStep[];
}

export interface SearchOptions {
  readonly layers: readonly SearchedLayer[];
  /** Largest mean error in levels of 255. */
  readonly maxError: number;
  /** Draws the faces with these layers in float32 and compares them. */
  measure(floatLayers: ReadonlySet<string>): Promise<DrawingError>;
  /** Called after each measurement with the number of them, and with the number of all that may follow. */
  onMeasured(done: number, total: number): void;
}

/**
 * Finds layers to keep in float32 so that the mean error stays within a limit; null when no layer can be computed in
 * eight bits. Errors of different layers add like independent noise, in squares. Each layer is therefore measured alone
 * in float32, and layers become float32 in the order of the squared error that they remove per multiplication. The
 * number of float layers doubles until the limit holds, and is then bisected: the error falls with their number, but not
 * strictly, so the result is within the limit and near the smallest number.
 */
export async function searchFloatLayers(options: SearchOptions): Promise<SearchResult | null> {
  const { layers, maxError } = options;
  const steps = new Map<number, DrawingError>();
  let done = 0;
  const total = layers.length + 2 + 2 * Math.ceil(Math.log2(layers.length + 1));
  const measure = async (floatLayers: readonly string[]): Promise<DrawingError> => {
    const error = await options.measure(new Set(floatLayers));
    options.onMeasured((done += 1), total);
    return error;
  };
  const first = await measure([]);
  steps.set(0, first);
  let order: readonly string[] = [];
  const passes = async (count: number): Promise<boolean> => {
    const error = steps.get(count) ?? (await measure(order.slice(0, count)));
    steps.set(count, error);
    return error.meanLevels <= maxError;
  };
  let [failing, passing] = [-1, 0];
  if (!(await passes(0))) {
    order = await orderLayers(layers, first, (name) => measure([name]));
    failing = 0;
    passing = 1;
    while (passing < layers.length && !(await passes(passing))) [failing, passing] = [passing, passing * 2];
    passing = Math.min(passing, layers.length);
  }
  while (passing - failing > 1) {
    const middle = Math.floor((failing + passing) / 2);
    if (await passes(middle)) passing = middle;
    else failing = middle;
  }
  const error = steps.get(passing);
  if (passing === layers.length || !error) return null;
  return {
    floatLayers: order.slice(0, passing),
    error,
    steps: Array.from(steps, ([floatLayers, found]) => ({ floatLayers, ...found })).toSorted(
      (left, right) => left.floatLayers - right.floatLayers,
    ),
  };
}

/** Names of the layers, those first that remove the most error for the least time. */
async function orderLayers(
  layers: readonly SearchedLayer[],
  { meanLevels }: DrawingError,
  measureInFloat: (name: string) => Promise<DrawingError>,
): Promise<readonly string[]> {
  const rated: { readonly name: string; readonly gain: number }[] = [];
  for (const { name, multiplications } of layers) {
    const without = await measureInFloat(name);
    rated.push({ name, gain: (meanLevels ** 2 - without.meanLevels ** 2) / multiplications });
  }
  return rated.toSorted((left, right) => right.gain - left.gain).map(({ name }) => name);
}
