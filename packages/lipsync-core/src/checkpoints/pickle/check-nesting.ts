import { invalidCheckpoint } from '../checkpoint-errors.ts';
import { isDict, isList, isTuple, type PickleValue } from './pickle-values.ts';

interface Visit {
  readonly container: object;
  readonly children: Iterator<PickleValue>;
}

/**
 * Throws `model_invalid` when a container contains itself, directly or through others, or when containers nest deeper
 * than `deepest`. Walks with a list of its own instead of calls, and into every container once.
 */
export function checkNesting(root: PickleValue, deepest: number): void {
  const path: Visit[] = [];
  const onPath = new Set<object>();
  const done = new Set<object>();
  const enter = (value: PickleValue): void => {
    const children = childrenOf(value);
    if (children === undefined || typeof value !== 'object' || value === null || done.has(value)) return;
    if (onPath.has(value)) throw invalidCheckpoint('plain data', 'an object that contains itself');
    if (path.length >= deepest) throw invalidCheckpoint(`at most ${deepest} containers within one another`, 'more');
    onPath.add(value);
    path.push({ container: value, children });
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

function childrenOf(value: PickleValue): Iterator<PickleValue> | undefined {
  if (isTuple(value) || isList(value)) return value.items.values();
  if (!isDict(value)) return undefined;
  return value.state === undefined ? value.entries.values() : [...value.entries.values(), value.state].values();
}
