import { defineRenderTask } from '../processes/render-task.ts';
import type { analyzeSpeechTask } from './analyze-speech-task.ts';

/** Analyzes the speech and writes its mouth curve. Apart from the body, so that callers do not load the models' runtime. */
export const analyzeSpeechRenderTask = defineRenderTask<typeof analyzeSpeechTask>(
  './analyze-speech-task',
  'analyzeSpeechTask',
  import.meta.url,
);
