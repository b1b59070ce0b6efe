import { longestHoleS } from './container-clock.ts';
import { inputArguments, type ByteRange } from '../ffmpeg-arguments.ts';
import { readToolOutput } from '../sample-decoder.ts';
import { readPart } from './file-bytes.ts';

const packetBytes = 188;
const syncByte = 0x47;
/** How far before the first sound of a joined part its program table may be. */
const searchedPackets = 200;
/** Times of one stream go back less than this without a join. */
const largestStepBackS = 0.5;
const maxJoins = 1_000;

/**
 * Returns the parts of a transport stream whose clocks differ: files that were joined byte by byte, or recordings that
 * were restarted. ffmpeg joins their times only as long as all parts have one sample rate. Empty for a stream of one part.
 */
export async function findMpegtsParts(path: string, streamIndex: number, signal?: AbortSignal): Promise<ByteRange[]> {
  const starts = [0];
  let last = -Infinity;
  for await (const { timeS, position } of readSoundTimes(path, streamIndex, signal)) {
    const step = timeS - last;
    const isJoin = last !== -Infinity && (step < -largestStepBackS || step > longestHoleS);
    if (isJoin && starts.length < maxJoins) starts.push(await findPartStart(path, position));
    last = timeS;
  }
  return starts.length === 1 ? [] : starts.map((start, index) => ({ start, end: starts[index + 1] }));
}

interface SoundTime {
  readonly timeS: number;
  /** Position in the file of the packet that holds the time. */
  readonly position: number;
}

/** The times that are stored in the file; the others are computed by ffmpeg from the rate of the first part. */
async function* readSoundTimes(path: string, streamIndex: number, signal?: AbortSignal): AsyncGenerator<SoundTime> {
  const entries = ['-select_streams', String(streamIndex), '-show_entries', 'packet=pts_time,pos', '-of', 'csv=p=0'];
  let rest = '';
  for await (const chunk of readToolOutput([...entries, ...inputArguments(path)], { tool: 'ffprobe', signal })) {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [timeS = Number.NaN, position = Number.NaN] = line.split(',').map((text) => Number.parseFloat(text));
      if (Number.isFinite(timeS) && Number.isFinite(position)) yield { timeS, position };
    }
  }
}

/** The program table before the first sound of a part; without one the sound itself, found at the next table. */
async function findPartStart(path: string, position: number): Promise<number> {
  const start = Math.max(0, position - searchedPackets * packetBytes);
  const bytes = await readPart(path, { start, length: position - start + packetBytes });
  const soundId = readId(bytes, position - start);
  for (let offset = position - start - packetBytes; offset >= 0; offset -= packetBytes) {
    const id = readId(bytes, offset);
    if (id === 0) return start + offset;
    if (id === undefined || id === soundId) break;
  }
  return position;
}

/** The packet identifier at an offset; undefined where no packet begins. */
function readId(bytes: Buffer, offset: number): number | undefined {
  return bytes[offset] === syncByte && offset + 3 <= bytes.length
    ? bytes.readUInt16BE(offset + 1) & 0x1f_ff
    : undefined;
}
