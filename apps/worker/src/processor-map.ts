import type { Processor } from 'bullmq';
import type { JobName } from '@lipsync/queue';
import { createLipsyncProcessor, type LipsyncProcessorDependencies } from './processors/lipsync.ts';

/** A processor for every kind of job in the catalogue: a kind without one does not compile. */
export function createProcessorMap(dependencies: LipsyncProcessorDependencies): Readonly<Record<JobName, Processor>> {
  return { lipsync: createLipsyncProcessor(dependencies) };
}
