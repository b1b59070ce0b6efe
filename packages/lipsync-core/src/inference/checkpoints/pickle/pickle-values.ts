import { quoted } from '../../../errors/quoted-text.ts';
import type { StorageView, StoredTensor } from '../stored-tensor.ts';

/** What a pickle can describe here. Integers are numbers where those are exact, else bigints. */
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
  /** What BUILD gave it: attributes, which nobody reads. */
  state: PickleValue | undefined;
}

/** The name of something that may be called or is a type of storage; never the thing itself. */
export interface PickleGlobal {
  readonly kind: 'global';
  /** `module.attribute`. */
  readonly name: string;
}

export function newDict(): PickleDict {
  return { kind: 'dict', entries: new Map(), state: undefined };
}

export function isDict(value: PickleValue | undefined): value is PickleDict {
  return kindOf(value) === 'dict';
}

export function isList(value: PickleValue | undefined): value is PickleList {
  return kindOf(value) === 'list';
}

export function isTuple(value: PickleValue | undefined): value is PickleTuple {
  return kindOf(value) === 'tuple';
}

export function isGlobal(value: PickleValue | undefined): value is PickleGlobal {
  return kindOf(value) === 'global';
}

export function isTensor(value: PickleValue | undefined): value is StoredTensor {
  return kindOf(value) === 'tensor';
}

export function isStorageView(value: PickleValue | undefined): value is StorageView {
  return kindOf(value) === 'storage';
}

/** A size, a count or a position: an integer from zero on that is exact as a number. */
export function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** The value as a message names it. */
export function describeValue(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (typeof value === 'string') return `the text ${quoted(value)}`;
  if (typeof value !== 'object') return String(value);
  return value.kind === 'global' ? `the global ${quoted(value.name)}` : `a ${value.kind}`;
}

function kindOf(value: PickleValue | undefined): string | undefined {
  return typeof value === 'object' && value !== null ? value.kind : undefined;
}
