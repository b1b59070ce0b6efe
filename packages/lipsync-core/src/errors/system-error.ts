/** The system's error code (`ENOENT`, …) of something thrown, where it has one. */
export function errnoCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const noSpace =
  'The disk is full, or the quota of its user is used up. Make room where inputs, work and outputs are kept, then try again.';
const noFiles = 'Too many files are open. Raise the limit of open files, or run fewer jobs at once, then try again.';

const exhaustions: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', noSpace],
  ['EDQUOT', noSpace],
  ['EMFILE', noFiles],
  ['ENFILE', noFiles],
  ['ENOMEM', 'There is no memory left. Run fewer jobs at once, or add memory, then try again.'],
]);

/** What to do about a system error that says that something ran out; undefined for every other error. */
export function exhaustionAdvice(error: unknown): string | undefined {
  return exhaustions.get(errnoCode(error) ?? '');
}
