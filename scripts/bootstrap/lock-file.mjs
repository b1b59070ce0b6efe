import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStartTime } from './process-identity.mjs';

/**
 * @typedef {object} Holder
 * @property {number} pid
 * @property {string} startTime
 */

/**
 * Takes a lock that a dead process cannot keep: the file contains pid and start time of its holder.
 * @param {string} path
 * @returns {{ release: () => void } | { heldBy: number }} the lock, or the pid of its holder
 */
export function tryLock(path) {
  mkdirSync(dirname(path), { recursive: true });
  const ours = `${path}.${process.pid}`;
  writeFileSync(ours, JSON.stringify({ pid: process.pid, startTime: processStartTime(process.pid) ?? '' }));
  try {
    return takeOrFindHolder(path, ours);
  } finally {
    rmSync(ours, { force: true });
  }
}

/**
 * Waits for the lock.
 * @param {string} path
 * @param {{ timeoutMs: number, onWait: (pid: number) => void }} options
 * @returns {Promise<{ release: () => void }>}
 * @throws {Error} when it is still held after `timeoutMs`
 */
export async function waitForLock(path, { timeoutMs, onWait }) {
  const deadlineMs = Date.now() + timeoutMs;
  for (let isFirst = true; ; isFirst = false) {
    const lock = tryLock(path);
    if ('release' in lock) return lock;
    if (isFirst) onWait(lock.heldBy);
    if (Date.now() > deadlineMs)
      throw new Error(`Process ${lock.heldBy} has held ${path} for too long; stop it and try again.`);
    await sleep(200);
  }
}

/**
 * @param {string} path
 * @param {string} ours a complete file to link into place, so that no process reads a partial lock
 * @returns {{ release: () => void } | { heldBy: number }}
 */
function takeOrFindHolder(path, ours) {
  for (;;) {
    if (linked(ours, path)) return { release: () => releaseOwn(path) };
    const holder = readHolder(path);
    if (holder !== undefined && isAlive(holder)) return { heldBy: holder.pid };
    removeStale(path);
  }
}

/**
 * @param {string} from
 * @param {string} to
 */
function linked(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock of a dead process. It is renamed first: if another process replaced it in the meantime, the renamed
 * lock is valid and is restored.
 * @param {string} path
 */
function removeStale(path) {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const holder = readHolder(aside);
  if (holder !== undefined && isAlive(holder)) linked(aside, path);
  rmSync(aside, { force: true });
}

/** @param {string} path */
function releaseOwn(path) {
  if (readHolder(path)?.pid === process.pid) rmSync(path, { force: true });
}

/**
 * @param {string} path
 * @returns {Holder | undefined} undefined when the file is missing or not a lock
 */
function readHolder(path) {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8'));
    return Number.isInteger(holder?.pid) ? { pid: holder.pid, startTime: String(holder.startTime) } : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Holder} holder */
function isAlive(holder) {
  return processStartTime(holder.pid) === holder.startTime;
}

/** @param {unknown} error */
function codeOf(error) {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
