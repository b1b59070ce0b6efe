import type * as OnnxRuntime from 'onnxruntime-node';
import { turnOffRuntimeTelemetry } from '../config/runtime-environment.ts';

export type { OnnxRuntime };

/** Loads the ONNX runtime. Nothing else may import it: its telemetry can only be turned off before it is loaded. */
export async function loadRuntime(): Promise<typeof OnnxRuntime> {
  turnOffRuntimeTelemetry();
  return import('onnxruntime-node');
}
