import type { TraceContext } from '../contract/ports.ts';
import type { ProgressReport } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { resolveEntry } from './entry.ts';
import { memoizeAsync } from './memoize-async.ts';

/** What a task receives besides its input. */
export interface RenderTaskContext {
  readonly signal: AbortSignal;
  readonly resources: RenderResources;
  /** Ids of the request that caused the task; absent for work without a request. */
  readonly trace?: TraceContext;
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

/** The module and the export that contain the body of a task. */
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

/** Lists the modules of all tasks that this process has defined. */
export function listTaskModules(): readonly string[] {
  return [...definedModules];
}

/** Imports the body of a task. Throws `internal` unless the address is a function in a local file. */
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

/** Models and other resources that a render process keeps for further tasks. */
export class RenderResources {
  readonly #getters = new Map<() => Promise<unknown>, () => Promise<unknown>>();

  /**
   * Returns the result of the first successful call of `create`. The function itself is the key, so pass a function of
   * a module, not a closure. After a failure the next call tries again.
   */
  get<Value>(create: () => Promise<Value>): Promise<Value> {
    const get = this.#getters.get(create) ?? memoizeAsync(create, { retryAfterFailure: true });
    this.#getters.set(create, get);
    // `as`: the getter stored under a function memoizes that function.
    return get() as Promise<Value>;
  }
}
