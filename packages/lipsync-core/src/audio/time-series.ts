const rowsPerBlock = 4096;

/** Growing list of rows of numbers. It grows by blocks of fixed size, so that appending never copies earlier rows. */
export class RowBuffer {
  readonly #rowLength: number;
  readonly #blocks: Float32Array[] = [];
  #rowCount = 0;

  constructor(rowLength: number) {
    this.#rowLength = rowLength;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  append(row: Float32Array): void {
    const position = this.#rowCount % rowsPerBlock;
    if (position === 0) this.#blocks.push(new Float32Array(rowsPerBlock * this.#rowLength));
    this.#blocks.at(-1)?.set(row, position * this.#rowLength);
    this.#rowCount += 1;
  }

  /** Copies the first `count` rows into one array. */
  toArray(count = this.#rowCount): Float32Array {
    const joined = new Float32Array(count * this.#rowLength);
    this.#blocks.forEach((block, index) => {
      const start = index * block.length;
      if (start < joined.length) joined.set(block.subarray(0, Math.min(block.length, joined.length - start)), start);
    });
    return joined;
  }
}

/**
 * Convolves with a symmetric Gaussian of `sigmaSteps` steps, which adds no delay. The edge values are repeated outside.
 */
export function gaussianSmooth(values: Float32Array, sigmaSteps: number): Float32Array {
  const radius = Math.ceil(3 * sigmaSteps);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - radius) / sigmaSteps) ** 2),
  );
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  const last = values.length - 1;
  return values.map((_, step) => {
    let result = 0;
    for (let i = -radius; i <= radius; i += 1) {
      result += (kernel[i + radius] ?? 0) * (values[Math.max(0, Math.min(last, step + i))] ?? 0);
    }
    return result / sum;
  });
}

/**
 * Slew rate limit without delay: the largest curve that stays below `values` and rises by at most `rise` and falls by
 * at most `fall` per step. It keeps every minimum, so that short closures survive.
 */
export function limitSlewRate(values: Float32Array, rise: number, fall: number): Float32Array {
  const limited = Float32Array.from(values);
  for (let i = 1; i < limited.length; i += 1) limited[i] = Math.min(limited[i] ?? 0, (limited[i - 1] ?? 0) + rise);
  for (let i = limited.length - 2; i >= 0; i -= 1) {
    limited[i] = Math.min(limited[i] ?? 0, (limited[i + 1] ?? 0) + fall);
  }
  return limited;
}

/** Maximum over a window of ±`radius` steps around each step. */
export function slidingMaximum(values: Float32Array, radius: number): Float32Array {
  return values.map((_, step) => {
    let largest = Number.NEGATIVE_INFINITY;
    const end = Math.min(values.length - 1, step + radius);
    for (let i = Math.max(0, step - radius); i <= end; i += 1) largest = Math.max(largest, values[i] ?? 0);
    return largest;
  });
}

/** The quantile `fraction` (0–1) of `values`, or `undefined` of no values. */
export function quantile(values: Float32Array, fraction: number): number | undefined {
  const sorted = values.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))];
}
