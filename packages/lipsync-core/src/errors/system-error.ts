/** The system error code (`ENOENT`, …) of a thrown value, if it has one. */
export function errnoCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const diskFull =
  'The disk or the quota of its user is full. Free space where inputs, work files and outputs are stored, then try again.';
const tooManyFiles =
  'Too many files are open. Raise the limit of open files, or run fewer jobs at once, then try again.';

const exhaustions: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', diskFull],
  ['EDQUOT', diskFull],
  ['EMFILE', tooManyFiles],
  ['ENFILE', tooManyFiles],
  ['ENOMEM', 'The system is out of memory. Run fewer jobs at once, or add memory, then try again.'],
]);

/** Advice for a system error that means that a resource is exhausted; undefined for any other error. */
export function exhaustionAdvice(error: unknown): string | undefined {
  return exhaustions.get(errnoCode(error) ?? '');
}
