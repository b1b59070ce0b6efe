/**
 * Turns off the telemetry of the ONNX runtime, which otherwise keeps a device id in the home folder and reports sessions
 * to its maker. The library reads this variable, and nothing else, while it is loaded.
 */
export function turnOffRuntimeTelemetry(): void {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
}
