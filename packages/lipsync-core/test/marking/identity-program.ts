/** Sends the certificate that signs in the folder of its argument. Started several times at once by a test. */
import { localIdentityIn } from '../../src/marking/local-certificates.ts';

const { certificates } = await localIdentityIn(process.argv[2] ?? '', Date.now());
process.send?.(certificates[0]);
