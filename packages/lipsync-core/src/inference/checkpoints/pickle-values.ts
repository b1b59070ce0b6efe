import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './limits.ts';
import type { StorageView, StoredTensor } from './tensors.ts';

/** A value in a pickle. An integer is a number when it is safe, otherwise a bigint. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | StorageView
  | StoredTensor;

export type PickleKey = string | number | bigint;

export interface PickleTuple {
  readonly kind: 'tuple';
  readonly items: readonly PickleValue[];
}

export interface PickleList {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

export interface PickleDict {
  readonly kind: 'dict';
  readonly entries: Map<PickleKey, PickleValue>;
  /** Attributes set by BUILD. They are kept only for the nesting check. */
  state: PickleValue | undefined;
}

/** The name of a callable or of a storage type; never the Python object itself. */
export interface PickleGlobal {
  readonly kind: 'global';
  /** `module.attribute`. */
  readonly name: string;
}

type Container = PickleTuple | PickleList | PickleDict;

export function newDict(): PickleDict {
  return { kind: 'dict', entries: new Map(), state: undefined };
}

type Tagged = Extract<PickleValue, { readonly kind: string }>;

/** Whether the value is an object of this kind. */
export function isKind<Kind extends Tagged['kind']>(
  value: PickleValue | undefined,
  kind: Kind,
): value is Extract<Tagged, { readonly kind: Kind }> {
  return typeof value === 'object' && value !== null && value.kind === kind;
}

/** Whether the value is a non-negative safe integer: a size, count or position. */
export function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Short description for error messages. */
export function describeValue(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (typeof value === 'string') return `the text ${quoted(value)}`;
  if (typeof value !== 'object') return String(value);
  return value.kind === 'global' ? `the global ${quoted(value.name)}` : `a ${value.kind}`;
}

/**
 * Throws `model_invalid` when a container contains itself, directly or indirectly, or when containers nest deeper than
 * `maxDepth`. Depth-first search with an explicit stack, so hostile input cannot overflow the call stack; each
 * container is visited once.
 */
export function checkNesting(root: PickleValue, maxDepth: number): void {
  const path: { readonly container: Container; readonly children: Iterator<PickleValue> }[] = [];
  const onPath = new Set<Container>();
  const done = new Set<Container>();
  const enter = (value: PickleValue): void => {
    if (!isContainer(value) || done.has(value)) return;
    if (onPath.has(value)) throw invalidCheckpoint('plain data', 'an object that contains itself');
    if (path.length >= maxDepth) throw invalidCheckpoint(`at most ${maxDepth} nested containers`, 'more');
    onPath.add(value);
    path.push({ container: value, children: childrenOf(value) });
  };
  enter(root);
  for (let visit = path.at(-1); visit !== undefined; visit = path.at(-1)) {
    const next = visit.children.next();
    if (next.done !== true) {
      enter(next.value);
      continue;
    }
    path.pop();
    onPath.delete(visit.container);
    done.add(visit.container);
  }
}

function isContainer(value: PickleValue): value is Container {
  return isKind(value, 'tuple') || isKind(value, 'list') || isKind(value, 'dict');
}

function childrenOf(container: Container): Iterator<PickleValue> {
  if (container.kind !== 'dict') return container.items.values();
  const values = container.entries.values();
  return container.state === undefined ? values : [...values, container.state].values();
}
