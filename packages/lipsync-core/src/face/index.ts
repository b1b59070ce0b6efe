import { defineRenderTask } from '../processes/render-task.ts';
import type { shareTrackTask } from './share-track-task.ts';

export { createFaceDetector } from './face-detector.ts';
export type { FaceBox, FaceDetector, FaceFrame, FaceMesh, FacePresence, FaceRegion, FaceTrack } from './face-types.ts';
export { outerLips } from './landmarks.ts';
export { measureLips, type LipMeasure } from './lip-measure.ts';
export { trackFaces, type TrackFacesOptions } from './track-faces.ts';

/** Tracks the face of a clip and leaves the track in a file, in a render process. */
export const shareTrackRenderTask = defineRenderTask<typeof shareTrackTask>(
  './share-track-task',
  'shareTrackTask',
  import.meta.url,
);
