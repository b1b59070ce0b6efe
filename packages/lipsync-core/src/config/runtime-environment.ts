/**
 * The GPUs that CUDA exposes to this process and its children; null when the variable is not set. The driver reads the
 * process environment itself, so a value in `.env` has no effect; an empty value hides all GPUs.
 */
export function cudaVisibleDevices(): string | null {
  return process.env['CUDA_VISIBLE_DEVICES'] ?? null;
}
