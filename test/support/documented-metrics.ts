import { readFile } from 'node:fs/promises';

/** Names of the metrics in docs/monitoring.md that a server exports. */
export async function listDocumentedMetrics(server: 'API' | 'worker'): Promise<readonly string[]> {
  const page = await readFile(new URL('../../docs/monitoring.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(lipsync_\w+)[^|]*\|[^\n]*\| ([^|\n]+) \|$/gm)];
  return rows.flatMap(([, name = '', servers = '']) => (servers.includes(server) ? [name] : []));
}
