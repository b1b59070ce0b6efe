import type { ProgressReport } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { resolveEntry } from './entry.ts';

/** What a render process passes to a task along with its input. */
export interface RenderTaskContext {
  readonly signal: AbortSignal;
  readonly resources: RenderResources;
  onProgress(progress: ProgressReport): void;
}

/**
 * The body of a task. Input and result are plain data: they cross a process boundary.
 * Throws a `LipsyncError`, and leaves no partial output behind.
 */
export type RenderTaskFunction<Input = never, Result = unknown> = (
  input: Input,
  context: RenderTaskContext,
) => Promise<Result>;

/** Where a render process finds the body of a task. */
export interface RenderTaskAddress {
  readonly moduleUrl: string;
  readonly exportName: string;
}

/** A task that a render process can run. Create it with `defineRenderTask`. */
export interface RenderTask<Input, Result> extends RenderTaskAddress {
  /** Never set: carries the types of the body. */
  readonly types?: RenderTaskFunction<Input, Result>;
}

const definedModules = new Set<string>();

/**
 * Declares a task whose body stays out of this process: `path` and `exportName` name it, relative to `callerUrl`
 * (`import.meta.url`) and without an extension. `Body` is its type, as in `typeof previewTask` of a type import.
 */
export function defineRenderTask<Body extends RenderTaskFunction>(
  path: string,
  exportName: string,
  callerUrl: string,
): RenderTask<Parameters<Body>[0], Awaited<ReturnType<Body>>> {
  const moduleUrl = resolveEntry(path, callerUrl).href;
  definedModules.add(moduleUrl);
  return Object.freeze({ moduleUrl, exportName });
}

/** The modules of every task that this process has defined. */
export function listTaskModules(): readonly string[] {
  return [...definedModules];
}

/** Imports the body of a task. Throws `internal` unless the address is a function in a file of this machine. */
export async function loadRenderTask({ moduleUrl, exportName }: RenderTaskAddress): Promise<RenderTaskFunction> {
  if (!moduleUrl.startsWith('file:')) throw new LipsyncError('internal', `${moduleUrl} is not a file URL.`);
  const module: Readonly<Record<string, unknown>> = await import(moduleUrl);
  const body = module[exportName];
  if (!isTaskFunction(body)) throw new LipsyncError('internal', `${moduleUrl} exports no function "${exportName}".`);
  return body;
}

function isTaskFunction(value: unknown): value is RenderTaskFunction {
  return typeof value === 'function';
}

/** Models and the like that a render process keeps from one task to the next. */
export class RenderResources {
  readonly #loading = new Map<() => Promise<unknown>, Promise<unknown>>();

  /**
   * Returns what `create` resolved with the first time. Resources are told apart by `create` itself, so pass a function
   * of a module, not a closure. A failure is not kept: the next call tries again.
   */
  get<Value>(create: () => Promise<Value>): Promise<Value> {
    const known = this.#loading.get(create);
    // `as`: the promise stored under a function is the one that it returned.
    if (known) return known as Promise<Value>;
    const loading = create();
    this.#loading.set(create, loading);
    loading.catch(() => this.#loading.delete(create));
    return loading;
  }
}
