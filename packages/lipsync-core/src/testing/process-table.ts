import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  /** Command line with arguments separated by spaces. */
  readonly command: string;
}

/** All processes of this machine, read from /proc (Linux only). */
export function processTable(): ProcessRow[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.flatMap((pid) => {
    const stat = readOrEmpty(`/proc/${pid}/stat`);
    const command = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    // Field 2 is a name in parentheses that may contain any character; field 4 is the parent.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    return Number.isInteger(parent) ? [{ pid, parent, command }] : [];
  });
}

/** All descendants of a process. */
export function descendantsOf(ancestor: number, table: readonly ProcessRow[] = processTable()): ProcessRow[] {
  const parents = new Map(table.map(({ pid, parent }) => [pid, parent]));
  const isDescendant = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && parent > 0 && (parent === ancestor || isDescendant(parent));
  };
  return table.filter(({ pid }) => isDescendant(pid));
}

/** Empty when the process has exited. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
