import { once } from 'node:events';
import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LipsyncClient } from '../src/index.ts';

it('A service that refuses an upload before it has read the file does not end the process of the client.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'client-upload-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'clip.mp4');
  await writeFile(path, Buffer.alloc(4_000_000));
  const server = createServer((request, response) => {
    request.resume();
    response
      .writeHead(401, { 'Content-Type': 'application/problem+json' })
      .end('{"code":"unauthorized","detail":"A key."}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => server.close().closeAllConnections());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('The server does not listen on a port.');
  const client = new LipsyncClient({ baseUrl: `http://127.0.0.1:${address.port}` });
  for (let upload = 0; upload < 10; upload += 1) {
    const file = new File([await openAsBlob(path)], 'clip.mp4');
    await expect(client.generate({ video: file, audio: file })).rejects.toMatchObject({ status: 401 });
  }
});
