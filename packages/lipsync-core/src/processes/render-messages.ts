import type { ProgressReport } from '../contract/provider-types.ts';
import type { CarriedFailure } from '../errors/carried-failure.ts';
import type { RenderTaskAddress } from './render-task.ts';

/** Messages to a render process. It runs one task at a time and meanwhile sends a sign of life every `heartbeatMs`. */
export type ToRenderProcess =
  | { readonly type: 'preload'; readonly moduleUrls: readonly string[] }
  | { readonly type: 'run'; readonly task: RenderTaskAddress; readonly input: unknown; readonly heartbeatMs: number }
  | { readonly type: 'cancel' };

/** Messages from a render process to its parent. */
export type FromRenderProcess =
  | { readonly type: 'alive' }
  | { readonly type: 'progress'; readonly progress: ProgressReport }
  | { readonly type: 'done'; readonly result: unknown }
  | CarriedFailure;
