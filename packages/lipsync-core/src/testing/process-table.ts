import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  /** The command line, its arguments separated by blanks. */
  readonly command: string;
}

/** All processes of this machine as /proc tells them (Linux); nothing has to be installed for it. */
export function processTable(): ProcessRow[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.flatMap((pid) => {
    const stat = readOrEmpty(`/proc/${pid}/stat`);
    const command = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    // The second field is a name in parentheses that may hold anything; the parent is the second field after it.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    return Number.isInteger(parent) ? [{ pid, parent, command }] : [];
  });
}

/** The processes below `ancestor`, whether its children or theirs. */
export function descendantsOf(ancestor: number, table: readonly ProcessRow[] = processTable()): ProcessRow[] {
  const parents = new Map(table.map(({ pid, parent }) => [pid, parent]));
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && parent > 0 && (parent === ancestor || isBelow(parent));
  };
  return table.filter(({ pid }) => isBelow(pid));
}

/** A process may end while it is being looked at. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
