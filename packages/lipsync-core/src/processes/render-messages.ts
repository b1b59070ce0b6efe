import type { CarriedFailure } from '../errors/carried-failure.ts';
import type { RenderTask, RenderTaskResults } from './render-tasks.ts';
import type { ProgressReport } from '../contract/provider-types.ts';

/** What the parent says to a render process. One task at a time; while it has one it says that it is alive, every `heartbeatMs`. */
export type ToRenderProcess =
  | { readonly type: 'run'; readonly task: RenderTask; readonly heartbeatMs: number }
  | { readonly type: 'cancel' };

/** What a render process says to its parent. */
export type FromRenderProcess =
  | { readonly type: 'alive' }
  | { readonly type: 'progress'; readonly progress: ProgressReport }
  | { readonly type: 'done'; readonly result: RenderTaskResults[RenderTask['kind']] }
  | CarriedFailure;
