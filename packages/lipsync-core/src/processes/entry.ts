import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Returns the URL of a module that runs in a separate process or thread. `path` is relative to the caller and has no
 * extension; that of the caller is used, `.ts` in the source and `.js` in the build. `callerUrl` is its
 * `import.meta.url`.
 */
export function resolveEntry(path: string, callerUrl: string): URL {
  return new URL(`${path}${extname(fileURLToPath(callerUrl))}`, callerUrl);
}
