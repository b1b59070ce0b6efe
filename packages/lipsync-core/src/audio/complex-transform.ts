/** Complex numbers as two arrays of the same length. */
export interface ComplexArray {
  readonly real: Float64Array;
  readonly imaginary: Float64Array;
}

/** One pass over all the numbers: joins what lies `size / radix` apart and writes it where the next pass looks for it. */
type Pass = (from: ComplexArray, to: ComplexArray) => void;

const cosine72 = Math.cos((2 * Math.PI) / 5);
const cosine144 = Math.cos((4 * Math.PI) / 5);
const sine72 = Math.sin((2 * Math.PI) / 5);
const sine144 = Math.sin((4 * Math.PI) / 5);

export function complexArray(size: number): ComplexArray {
  return { real: new Float64Array(size), imaginary: new Float64Array(size) };
}

/**
 * Makes the discrete Fourier transform Σ x[n]·e^(−2πi·n·k/size) for a `size` that is a product of fours and fives.
 * It works in its argument's memory and returns the array, either the argument or one of its own, that holds the
 * result until the next call. Self-sorting transform after Stockham (Cochran et al. 1967), in double precision.
 */
export function createComplexTransform(size: number): (values: ComplexArray) => ComplexArray {
  const passes = planPasses(size);
  const spare = complexArray(size);
  return (values) => {
    let from = values;
    let to = spare;
    for (const pass of passes) {
      pass(from, to);
      [from, to] = [to, from];
    }
    return from;
  };
}

function planPasses(size: number): readonly Pass[] {
  const roots = complexArray(size);
  for (let k = 0; k < size; k++) {
    roots.real[k] = Math.cos((2 * Math.PI * k) / size);
    roots.imaginary[k] = -Math.sin((2 * Math.PI * k) / size);
  }
  const passes: Pass[] = [];
  for (let stride = 1; stride < size;) {
    const left = size / stride;
    const radix = left % 4 === 0 ? 4 : 5;
    if (left % radix !== 0) throw new RangeError(`The transform needs a product of fours and fives, not ${size}.`);
    passes.push(radix === 4 ? passOfFour(roots, stride) : passOfFive(roots, stride));
    stride *= radix;
  }
  return passes;
}

function passOfFour(roots: ComplexArray, stride: number): Pass {
  const size = roots.real.length;
  const apart = size / 4;
  return ({ real, imaginary }, to) => {
    for (let i = 0, turn = 0; i < apart; i++) {
      if (i === turn + stride) turn = i;
      const evenSumReal = at(real, i) + at(real, i + 2 * apart);
      const evenSumImaginary = at(imaginary, i) + at(imaginary, i + 2 * apart);
      const evenGapReal = at(real, i) - at(real, i + 2 * apart);
      const evenGapImaginary = at(imaginary, i) - at(imaginary, i + 2 * apart);
      const oddSumReal = at(real, i + apart) + at(real, i + 3 * apart);
      const oddSumImaginary = at(imaginary, i + apart) + at(imaginary, i + 3 * apart);
      const oddGapReal = at(real, i + apart) - at(real, i + 3 * apart);
      const oddGapImaginary = at(imaginary, i + apart) - at(imaginary, i + 3 * apart);
      const place = 3 * turn + i;
      putTurned(to, place, evenSumReal + oddSumReal, evenSumImaginary + oddSumImaginary, roots, 0);
      putTurned(to, place + stride, evenGapReal + oddGapImaginary, evenGapImaginary - oddGapReal, roots, turn);
      putTurned(to, place + 2 * stride, evenSumReal - oddSumReal, evenSumImaginary - oddSumImaginary, roots, 2 * turn);
      putTurned(to, place + 3 * stride, evenGapReal - oddGapImaginary, evenGapImaginary + oddGapReal, roots, 3 * turn);
    }
  };
}

function passOfFive(roots: ComplexArray, stride: number): Pass {
  const size = roots.real.length;
  const apart = size / 5;
  return ({ real, imaginary }, to) => {
    for (let i = 0, turn = 0; i < apart; i++) {
      if (i === turn + stride) turn = i;
      const firstReal = at(real, i);
      const firstImaginary = at(imaginary, i);
      const outerReal = at(real, i + apart) + at(real, i + 4 * apart);
      const outerImaginary = at(imaginary, i + apart) + at(imaginary, i + 4 * apart);
      const outerGapReal = at(real, i + apart) - at(real, i + 4 * apart);
      const outerGapImaginary = at(imaginary, i + apart) - at(imaginary, i + 4 * apart);
      const innerReal = at(real, i + 2 * apart) + at(real, i + 3 * apart);
      const innerImaginary = at(imaginary, i + 2 * apart) + at(imaginary, i + 3 * apart);
      const innerGapReal = at(real, i + 2 * apart) - at(real, i + 3 * apart);
      const innerGapImaginary = at(imaginary, i + 2 * apart) - at(imaginary, i + 3 * apart);
      const nearReal = firstReal + cosine72 * outerReal + cosine144 * innerReal;
      const nearImaginary = firstImaginary + cosine72 * outerImaginary + cosine144 * innerImaginary;
      const farReal = firstReal + cosine144 * outerReal + cosine72 * innerReal;
      const farImaginary = firstImaginary + cosine144 * outerImaginary + cosine72 * innerImaginary;
      const nearGapReal = sine72 * outerGapReal + sine144 * innerGapReal;
      const nearGapImaginary = sine72 * outerGapImaginary + sine144 * innerGapImaginary;
      const farGapReal = sine144 * outerGapReal - sine72 * innerGapReal;
      const farGapImaginary = sine144 * outerGapImaginary - sine72 * innerGapImaginary;
      const place = 4 * turn + i;
      putTurned(
        to,
        place,
        firstReal + outerReal + innerReal,
        firstImaginary + outerImaginary + innerImaginary,
        roots,
        0,
      );
      putTurned(to, place + stride, nearReal + nearGapImaginary, nearImaginary - nearGapReal, roots, turn);
      putTurned(to, place + 2 * stride, farReal + farGapImaginary, farImaginary - farGapReal, roots, 2 * turn);
      putTurned(to, place + 3 * stride, farReal - farGapImaginary, farImaginary + farGapReal, roots, 3 * turn);
      putTurned(to, place + 4 * stride, nearReal - nearGapImaginary, nearImaginary + nearGapReal, roots, 4 * turn);
    }
  };
}

function at(values: Float64Array, index: number): number {
  return values[index] ?? 0;
}

/** Writes a number multiplied by root `turn`. */
function putTurned(
  to: ComplexArray,
  place: number,
  real: number,
  imaginary: number,
  roots: ComplexArray,
  turn: number,
): void {
  const cosine = at(roots.real, turn);
  const sine = at(roots.imaginary, turn);
  to.real[place] = real * cosine - imaginary * sine;
  to.imaginary[place] = real * sine + imaginary * cosine;
}
