import type { JobView, QualityJobView, QualityView } from '@lipsync/core/contract';

const createdAt = '2026-11-21T09:30:00.000Z';
const jobId = 'job_0mij3f4kz0c8f3a6e1d2b4a59687f';

const quality: QualityView = {
  sync_score: 0.87,
  audio_quality: 0.94,
  video_quality: 0.91,
  grade: 'very_good',
  sync: {
    method: 'syncnet',
    offset_ms: 0,
    offset_interval_ms: [-40, 40],
    strength: 0.62,
    lse_c: 7.1,
    lse_d: 6.8,
    windows: 3,
    reason: null,
  },
  parts: { sharpness: { value: 0.93, unit: 'ratio', score: 0.9, reason: null } },
  source: null,
  labels: [],
  method_version: '1',
  models: {},
};

/** A lip-sync job right after its creation. */
export const queuedJob: JobView = {
  id: jobId,
  status: 'queued',
  stage: 'queued',
  progress: 0,
  message: 'Waiting for a worker.',
  request: {
    video: 'clip.mp4',
    audio: 'https://example.org/speech.wav',
    method: 'auto',
    optimize: 'quality',
    provider_options: { heygen: { mode: 'speed' } },
    sync_mode: 'loop',
    silence_mode: 'close',
    allow_preview: false,
    priority: 5,
    user_id: 'user-42',
  },
  method: 'auto',
  plan: ['heygen', 'wav2lip'],
  method_used: null,
  degraded: false,
  cached: false,
  batch: null,
  duration: null,
  cost_usd: 0,
  output_url: null,
  output_deleted_at: null,
  quality: null,
  attempts: [],
  warnings: [],
  error: null,
  user_id: 'user-42',
  metadata: { order: 'A-17' },
  created_at: createdAt,
  started_at: null,
  expected_completion_at: '2026-11-21T09:31:10.000Z',
  completed_at: null,
  inputs_deleted_at: null,
};

/** The same job after its end. */
export const completedJob: JobView = {
  ...queuedJob,
  status: 'completed',
  stage: 'completed',
  progress: 100,
  message: 'Completed.',
  method_used: 'wav2lip',
  duration: 12.4,
  output_url: `/lipsync/${jobId}/output`,
  quality,
  attempts: [
    {
      provider: 'wav2lip',
      outcome: 'succeeded',
      code: null,
      message: null,
      started_at: '2026-11-21T09:30:02.000Z',
      ended_at: '2026-11-21T09:30:41.000Z',
      cost_usd: 0,
      operation_id: null,
      model_precision: 'float32',
      quality,
    },
  ],
  started_at: '2026-11-21T09:30:01.000Z',
  expected_completion_at: null,
  completed_at: '2026-11-21T09:30:41.000Z',
};

/** A quality job right after its creation. */
export const queuedQualityJob: QualityJobView = {
  id: jobId,
  status: 'queued',
  stage: 'queued',
  progress: 0,
  message: 'Waiting for a worker.',
  request: { video: 'take.mp4', source: 'clip.mp4', quality_windows: 'spread', priority: 5 },
  duration: null,
  quality: null,
  warnings: [],
  error: null,
  user_id: null,
  metadata: {},
  created_at: createdAt,
  started_at: null,
  expected_completion_at: null,
  completed_at: null,
  inputs_deleted_at: null,
};

/** The same job after its end. */
export const completedQualityJob: QualityJobView = {
  ...queuedQualityJob,
  status: 'completed',
  stage: 'completed',
  progress: 100,
  message: 'Completed.',
  duration: 12.4,
  quality,
  started_at: '2026-11-21T09:30:01.000Z',
  completed_at: '2026-11-21T09:30:09.000Z',
};
