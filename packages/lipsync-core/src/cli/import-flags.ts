import type { CoreConfig } from '../config.ts';
import type { ModelImport } from '../inference/models/import-model.ts';
import { isOnnx } from '../inference/models/model-record.ts';
import { invalidFlags } from './usage-error.ts';

/** Target devices of an imported model: rewritten layers for a CPU, plain layers for a GPU. */
export const targets = ['cpu', 'gpu'] as const;
export const precisions = ['float32', 'float16', 'int8'] as const;
/** Mean error in levels of 255 that is hardly visible. */
export const defaultMaxError = 1;
const largestMaxError = 64;

export interface ImportFlags {
  readonly output: string;
  readonly for?: (typeof targets)[number];
  readonly precision?: (typeof precisions)[number];
  readonly float16?: boolean;
  readonly calibrate?: string;
  readonly calibrateSpeech?: string;
  readonly maxError?: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

type ImportForm = Pick<ModelImport, 'plain' | 'float16' | 'calibration'>;

/** The form that the flags choose. `readConfig` is called for an eight-bit form. Throws `request_invalid` for all problems. */
export function toImportForm(flags: ImportFlags, readConfig: () => CoreConfig): ImportForm {
  const precision = flags.precision ?? (flags.float16 ? 'float16' : 'float32');
  const target = flags.for ?? (precision === 'float16' ? 'gpu' : 'cpu');
  const maxError = flags.maxError === undefined ? defaultMaxError : Number(flags.maxError.trim() || NaN);
  const problems = findProblems(flags, { precision, target, maxError });
  if (problems.length > 0) throw invalidFlags(problems);
  if (precision !== 'int8' || flags.calibrate === undefined)
    return { plain: target === 'gpu', float16: precision === 'float16' };
  const { maxDurationMs, maxDimensionPx } = readConfig();
  return {
    calibration: {
      clipPath: flags.calibrate,
      speechPath: flags.calibrateSpeech ?? null,
      maxError,
      limits: { maxDurationMs, maxDimensionPx },
    },
  };
}

interface ChosenForm {
  readonly precision: (typeof precisions)[number];
  readonly target: (typeof targets)[number];
  readonly maxError: number;
}

function findProblems(flags: ImportFlags, { precision, target, maxError }: ChosenForm) {
  const isInt8 = precision === 'int8';
  const onlyForInt8 = [
    { flag: '--calibrate', value: flags.calibrate },
    { flag: '--calibrate-speech', value: flags.calibrateSpeech },
    { flag: '--max-error', value: flags.maxError },
  ].filter(({ value }) => !isInt8 && value !== undefined);
  const name = flags.precision === undefined ? '--float16' : '--precision';
  return [
    ...(precision === 'float16' && target === 'cpu' ? [{ flag: name, message: 'requires --for gpu' }] : []),
    ...(flags.float16 && flags.precision !== undefined && flags.precision !== 'float16'
      ? [{ flag: '--float16', message: `contradicts --precision ${flags.precision}` }]
      : []),
    ...(isInt8 && target === 'gpu' ? [{ flag: '--precision', message: 'int8 is for a CPU; leave out --for gpu' }] : []),
    ...(isInt8 && flags.calibrate === undefined
      ? [{ flag: '--calibrate', message: 'is required by --precision int8: a clip that shows a face' }]
      : []),
    ...onlyForInt8.map(({ flag }) => ({ flag, message: 'requires --precision int8' })),
    ...(maxError >= 0 && maxError <= largestMaxError
      ? []
      : [{ flag: '--max-error', message: `must be a number from 0 to ${largestMaxError}` }]),
    ...(isOnnx(flags.output)
      ? []
      : [{ flag: '--output', message: `must end in .onnx, for example ${flags.output}.onnx` }]),
  ];
}
