import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * URL of a module that runs in a process or thread of its own. `path` is relative to the calling module and has no
 * extension: the caller's is used, `.ts` from source and `.js` from the build. `callerUrl` is its `import.meta.url`.
 */
export function resolveEntry(path: string, callerUrl: string): URL {
  return new URL(`${path}${extname(fileURLToPath(callerUrl))}`, callerUrl);
}
