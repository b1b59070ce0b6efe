import { inspect } from 'node:util';

/** Errors of the caller's listener must not end the job. The process is warned of the first one. */
export function guardListener<Update>(
  listener: ((update: Update) => unknown) | undefined,
  name = 'onProgress',
): (update: Update) => void {
  let hasFailed = false;
  const warn = (error: unknown): void => {
    if (!hasFailed) process.emitWarning(`${name} failed: ${inspect(error)}`, 'LipsyncWarning');
    hasFailed = true;
  };
  return (update) => {
    try {
      Promise.resolve(listener?.(update)).catch(warn);
    } catch (error) {
      warn(error);
    }
  };
}
