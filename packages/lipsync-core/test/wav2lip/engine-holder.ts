/** Leases an engine, says where it is, and stays until it is killed. */
import { EnginePool } from '../../src/providers/wav2lip/engine/engine-pool.ts';

const [path = '', cacheFolder = ''] = process.argv.slice(2);
const pool = new EnginePool({ idleMs: 60_000, gpuEnabled: false });
const lease = await pool.lease({ path, cacheFolder }, { signal: AbortSignal.timeout(55_000) });
process.send?.(lease.engine);
setInterval(() => undefined, 1_000);
