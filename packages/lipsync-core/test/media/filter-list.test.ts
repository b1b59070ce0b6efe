import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { hasFilters } from '../../src/media/filter-list.ts';
import { temporaryFolder } from './make-media.ts';

describe('hasFilters', () => {
  it('Reading the filter list of ffmpeg fails with media_failed after its time limit.', async () => {
    const slow = join(await temporaryFolder(), 'ffmpeg');
    await writeFile(slow, '#!/bin/sh\nexec sleep 2\n', { mode: 0o755 });
    // fluent-ffmpeg prefers this variable to PATH.
    vi.stubEnv('FFMPEG_PATH', slow);
    await expect(hasFilters(['scale'], 200)).rejects.toMatchObject({ code: 'media_failed' });
    vi.unstubAllEnvs();
  });
});
