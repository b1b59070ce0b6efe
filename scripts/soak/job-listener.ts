import { setTimeout as sleep } from 'node:timers/promises';

/** What a listener received until the end of its job. */
export interface ListenerReport {
  /** Name of the last event. */
  readonly end: string;
  readonly events: number;
  /** Whether no event had less progress than the one before it. */
  readonly isMonotonic: boolean;
  readonly reconnects: number;
}

const reconnectDelayMs = 500;

/** Listens to the events of a job and reconnects like a browser until the job has ended. Throws when `signal` aborts. */
export async function listenToJob(url: string, signal: AbortSignal): Promise<ListenerReport> {
  const report = { end: '', events: 0, isMonotonic: true, reconnects: 0 };
  let lastId = '';
  let progress = 0;
  for (;;) {
    try {
      for await (const event of eventsOf(url, lastId, signal)) {
        lastId = event.id;
        report.events += 1;
        report.isMonotonic &&= event.progress >= progress;
        progress = event.progress;
        if (event.name !== 'progress') return { ...report, end: event.name };
      }
    } catch (error) {
      if (signal.aborted) throw error;
    }
    report.reconnects += 1;
    await sleep(reconnectDelayMs, undefined, { signal });
  }
}

interface ReceivedEvent {
  readonly name: string;
  readonly id: string;
  readonly progress: number;
}

/** Ends when the connection does. */
async function* eventsOf(url: string, lastId: string, signal: AbortSignal): AsyncGenerator<ReceivedEvent> {
  const response = await fetch(url, { signal, headers: lastId === '' ? {} : { 'Last-Event-ID': lastId } });
  if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}.`);
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      if (!block.startsWith(':')) yield parseEvent(block);
    }
  }
}

function parseEvent(block: string): ReceivedEvent {
  const fields = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  // `as`: the service sends its job view, which has a progress.
  const { progress } = JSON.parse(fields.get('data') ?? '{}') as { progress: number };
  return { name: fields.get('event') ?? '', id: fields.get('id') ?? '', progress };
}
