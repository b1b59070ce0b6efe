import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Names a running process so that it cannot be mistaken for a later one with the same number: its start time in
 * the system's own notation. Undefined when no such process runs.
 * @param {number} pid
 * @returns {string | undefined}
 */
export function processStartTime(pid) {
  return process.platform === 'linux' ? startTimeFromProc(pid) : startTimeFromPs(pid);
}

/** @param {number} pid */
function startTimeFromProc(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the program's name in brackets, may itself hold blanks and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const isGone = state === 'Z' || state === 'X';
    return isGone ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function startTimeFromPs(pid) {
  const answer = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5000 });
  const text = answer.status === 0 ? answer.stdout.trim() : '';
  return text === '' ? undefined : text;
}
