import { LipsyncError } from '../errors/index.ts';

/** A problem with one flag of a command. */
export interface FlagProblem {
  readonly flag: string;
  /** Follows the flag in a sentence: "must be at least 0". */
  readonly message: string;
}

/** An invalid command line: the exit code is 2, and nothing was started. */
export class UsageError extends LipsyncError {
  readonly problems: readonly FlagProblem[];

  constructor(message: string, problems: readonly FlagProblem[] = []) {
    super('request_invalid', message);
    this.name = 'UsageError';
    this.problems = problems;
  }
}

/** The error of a command line with invalid flags, all of them. */
export function invalidFlags(problems: readonly FlagProblem[]): UsageError {
  return new UsageError(`${problems.map(describeFlagProblem).join('; ').replace(/\.$/, '')}.`, problems);
}

/** Most messages continue the name of the flag; those that are sentences of their own follow a colon. */
export function describeFlagProblem({ flag, message }: FlagProblem): string {
  return /^[A-Z]/.test(message) ? `${flag}: ${message}` : `${flag} ${message}`;
}
