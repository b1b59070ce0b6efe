import { invalidCheckpoint } from '../checkpoint-errors.ts';
import {
  isDict,
  isList,
  isTuple,
  type PickleDict,
  type PickleList,
  type PickleTuple,
  type PickleValue,
} from './pickle-values.ts';

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
    if (!isContainer(value) || done.has(value)) return;
    if (onPath.has(value)) throw invalidCheckpoint('plain data', 'an object that contains itself');
    if (path.length >= deepest) throw invalidCheckpoint(`at most ${deepest} containers within one another`, 'more');
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

type Container = PickleTuple | PickleList | PickleDict;

function isContainer(value: PickleValue): value is Container {
  return isTuple(value) || isList(value) || isDict(value);
}

function childrenOf(container: Container): Iterator<PickleValue> {
  if (container.kind !== 'dict') return container.items.values();
  const values = container.entries.values();
  return container.state === undefined ? values : [...values, container.state].values();
}
