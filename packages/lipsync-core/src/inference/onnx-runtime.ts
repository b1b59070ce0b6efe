import type * as OnnxRuntime from 'onnxruntime-node';

export type { OnnxRuntime };

/**
 * Loads the ONNX runtime, without its telemetry: left alone it keeps a device id in the home folder and reports sessions
 * to its maker. Only a variable that is set before the library is loaded turns that off, so nothing else may import it.
 */
export async function loadRuntime(): Promise<typeof OnnxRuntime> {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  return import('onnxruntime-node');
}
