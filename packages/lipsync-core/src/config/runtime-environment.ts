/**
 * KeyedMutex off the telemetry of the ONNX runtime, which otherwise keeps a device id in the home folder and reports sessions
 * to its maker. The library reads this variable, and nothing else, while it is loaded.
 */
export function turnOffRuntimeTelemetry(): void {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
}

/**
 * Which GPUs CUDA shows this process and those that it starts, as the user set it; null where it is not set. The driver
 * reads the variable itself: what a `.env` says of it does not count, and nothing means none.
 */
export function cudaVisibleDevices(): string | null {
  return process.env['CUDA_VISIBLE_DEVICES'] ?? null;
}
